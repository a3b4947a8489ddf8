import type { FwCfgItem } from '@retrap/devices'

const FEATURES_BYTES = 8
/** An SMI by the command port reaches all processors, not the one alone that writes. */
const BROADCAST = 1 << 0
const SUPPORTED = BROADCAST

/**
 * The agreement of firmware and chipset on SMIs: firmware writes the features that it wants, and selects `features-ok`, which
 * then holds 1 if all of them are supported. From then on it is settled, until the machine is reset.
 *
 * Source: QEMU, docs/specs, "etc/smi" items of fw_cfg; OVMF reads and writes them.
 */
export class SmiFeatures {
  #requested: Uint8Array = new Uint8Array(FEATURES_BYTES)
  #settled = false

  /** Whether an SMI of the command port reaches all processors. */
  get broadcast(): boolean {
    return this.#settled && (this.#requested[0]! & BROADCAST) !== 0
  }

  /** Items of fw_cfg. A restored machine has those that are requested first. */
  readonly files: Readonly<Record<string, FwCfgItem>> = {
    'etc/smi/requested-features': {
      bytes: new Uint8Array(FEATURES_BYTES),
      writable: true,
      onWrite: (bytes) => {
        // A settled choice stays.
        if (this.#settled) bytes.set(this.#requested)
        else this.#requested = bytes.slice()
      },
      onReset: (bytes) => {
        this.#requested = bytes.fill(0).slice()
      },
    },
    'etc/smi/features-ok': {
      bytes: Uint8Array.of(0),
      onSelect: (bytes) => this.#settle(bytes),
      onWrite: ([ok]) => (this.#settled = ok !== 0),
      onReset: (bytes) => {
        bytes[0] = 0
        this.#settled = false
      },
    },
    'etc/smi/supported-features': { bytes: Uint8Array.of(SUPPORTED, 0, 0, 0, 0, 0, 0, 0) },
  }

  #settle(ok: Uint8Array): void {
    const [low = 0, ...rest] = this.#requested
    if (this.#settled || (low & ~SUPPORTED) !== 0 || rest.some((byte) => byte !== 0)) return
    ok[0] = 1
    this.#settled = true
  }
}
