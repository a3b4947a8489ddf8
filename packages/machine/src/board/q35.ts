import { AcpiPm, type FwCfgItem, IchLpc, MchHostBridge } from '@retrap/devices'
import { CHIPSETS } from '../machine-type.ts'
import type { BoardDescription, BoardHooks, Chipset, CreateChipset } from './board.ts'

/** Makes a Q35 with an ICH9. Loaded only for a machine with this chipset. */
export const createQ35: CreateChipset = ({ firmware, xen }: BoardDescription, hooks: BoardHooks, onEcam): Chipset => {
  const { systemManagement } = hooks
  const smiFeatures = new SmiFeatures()
  const pm = new AcpiPm({
    movable: true,
    ...(!xen && { onSleep: () => hooks.sleep(), onWake: () => hooks.wake() }),
    ...(systemManagement && {
      onSmi: () => {
        if (isaBridge.seesCommands) systemManagement.smi(smiFeatures.broadcast)
      },
    }),
  })
  const isaBridge = new IchLpc({ onPmBase: (base) => pm.place(base), smm: systemManagement !== undefined })
  const mch = new MchHostBridge({
    onShadow: (range) => hooks.shadow(range),
    isAsleep: () => pm.isAsleep,
    onEcam: (placement) => {
      hooks.ecam(placement)
      if (placement !== null) onEcam(placement)
    },
    ...(systemManagement && { onSmram: (settings) => systemManagement.apply(settings) }),
    ...(!firmware && { ecamBase: CHIPSETS.q35.ecam.base }),
  })
  return { bridges: [mch, isaBridge], isaBridge, pm, ...(systemManagement && { files: smiFeatures.files }) }
}

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

  /** Items of fw_cfg. A restored machine keeps the items that were requested first. */
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
