import type { FwCfgItem } from '@retrap/devices'

const FEATURES_BYTES = 8
/** An SMI by the command port reaches all processors, not the one alone that writes. */
const BROADCAST = 1 << 0
const SUPPORTED = BROADCAST

/**
 * What firmware and chipset agree on about SMIs: firmware writes what it wants, and selects `features-ok`, which then holds 1
 * if all of that is supported. From then on it is settled.
 *
 * Source: QEMU, docs/specs, "etc/smi" items of fw_cfg; OVMF reads and writes them.
 */
export class SmiFeatures {
  #broadcast = false
  #requested: Uint8Array = new Uint8Array(FEATURES_BYTES)

  /** Whether an SMI of the command port reaches all processors. */
  get broadcast(): boolean {
    return this.#broadcast
  }

  /** Items of fw_cfg. */
  readonly files: Readonly<Record<string, FwCfgItem>> = {
    'etc/smi/features-ok': { bytes: Uint8Array.of(0), onSelect: (bytes) => this.#settle(bytes) },
    'etc/smi/requested-features': {
      bytes: new Uint8Array(FEATURES_BYTES),
      writable: true,
      onWrite: (bytes) => (this.#requested = bytes.slice()),
    },
    'etc/smi/supported-features': { bytes: Uint8Array.of(SUPPORTED, 0, 0, 0, 0, 0, 0, 0) },
  }

  #settle(ok: Uint8Array): void {
    const [low = 0, ...rest] = this.#requested
    if (ok[0] !== 0 || (low & ~SUPPORTED) !== 0 || rest.some((byte) => byte !== 0)) return
    ok[0] = 1
    this.#broadcast = (low & BROADCAST) !== 0
  }
}
