"""What of ccd_fast works on this machine, as ``ccd-fast doctor`` says it."""

from card.setting import Setting


def measure(setting: Setting) -> None:
    """Look at everything that ccd_fast runs on."""
    from ccd_fast import doctor, machine

    setting.ledger.figure("machine", machine.describe())
    for finding in doctor.examine():
        setting.ledger.figure(finding.part, finding.state, note=finding.detail)
