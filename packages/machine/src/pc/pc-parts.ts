import type { plugXen } from '@retrap/xen'
import { type DividedKinds, loadDividedKinds } from '../divided-devices.ts'
import { loadFlash } from '../firmware/flash.ts'
import type { Smram } from '../firmware/smram.ts'
import { loadChipset } from '../board/chipsets.ts'
import type { BoardKinds } from '../board/placed-board.ts'
import type { samplePc } from '../lifecycle/call-stack.ts'
import { isKernelRom, type OptionRom } from '../firmware/option-roms.ts'
import type { kernelForFirmware } from '../loaders/firmware-kernel.ts'
import { type PcOptions, startsDirectly } from '../options/pc-options.ts'
import type { createVapic } from '../firmware/vapic.ts'

/** The parts of a PC that are loaded before it is composed. */
export interface PcParts extends BoardKinds {
  /** Kinds of the devices. */
  readonly kinds: DividedKinds
  /** The option ROM of the TPR patcher, if the machine has one. */
  readonly vapicRoms: readonly OptionRom[]
  /** Makes the patcher for a machine with option ROMs. */
  readonly createVapic: typeof createVapic | undefined
  /** Contents of the flash memories. */
  readonly flash: readonly Uint8Array[]
  /** Hands a kernel to firmware, if the machine has both. */
  readonly kernelForFirmware: typeof kernelForFirmware | undefined
  /** Memory of system-management mode, if the machine has any. */
  readonly Smram: typeof Smram | undefined
  /** Plugs Xen in, where the guest sees Xen. */
  readonly plugXen: typeof plugXen | undefined
  /** The sampling profiler, if the options ask for samples. */
  readonly samplePc: typeof samplePc | undefined
}

/** Loads the parts that the options ask for, and no others. @throws MachineError `ERR_OPTION` */
export async function loadPcParts(options: PcOptions): Promise<PcParts> {
  const isPatched = (options.vapic ?? false) !== false || (options.optionRoms ?? []).some((rom) => !isKernelRom(rom))
  const [flash, vapicRoms, vapic, kinds, xen, kernel, sampling, smram, createChipset, remote] = await Promise.all([
    loadFlash(options.flash ?? []),
    loadVapicRoms(options),
    isPatched ? import('../firmware/vapic.ts') : undefined,
    loadDividedKinds(options),
    options.hypervisor === 'xen' ? import('@retrap/xen') : undefined,
    options.kernel === undefined || startsDirectly(options) ? undefined : import('../loaders/firmware-kernel.ts'),
    options.sampling && import('../lifecycle/call-stack.ts'),
    options.smm === true ? import('../firmware/smram.ts') : undefined,
    loadChipset({ machine: options.machine ?? 'pc', xen: options.hypervisor === 'xen' }),
    typeof options.devicePlacement === 'function' ? import('../board/remote-board.ts') : undefined,
  ])
  return {
    createChipset,
    Remote: remote?.RemoteBoard,
    kinds,
    flash,
    vapicRoms,
    createVapic: vapic?.createVapic,
    plugXen: xen?.plugXen,
    kernelForFirmware: kernel?.kernelForFirmware,
    samplePc: sampling?.samplePc,
    Smram: smram?.Smram,
  }
}

async function loadVapicRoms({ vapic = false }: PcOptions): Promise<readonly OptionRom[]> {
  if (vapic === false) return []
  const { vapicRom } = await import('../firmware/vapic-rom.ts')
  return [vapicRom(vapic)]
}
