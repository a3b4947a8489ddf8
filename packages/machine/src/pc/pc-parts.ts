import type { X86Domain } from '@retrap/hvm'
import type { plugXen } from '@retrap/xen'
import { loadDeviceKinds, placeDevices } from '../kinds/device-kinds.ts'
import type { PcSite, PlacedDevices, PlaceDevices } from '../kinds/placed-devices.ts'
import type { watchModels } from '../devices/watched-models.ts'
import type { startControllers } from '../elsewhere/start-controllers.ts'
import { type MovedControllers, splitControllers } from '../elsewhere/split.ts'
import type { ForkableOptions } from '../fork/clone-options.ts'
import type { ForkFamily, ForkOrigin } from '../fork/fork-family.ts'
import { loadFlash } from '../firmware/flash.ts'
import type { samplePc } from '../life/call-stack.ts'
import { isKernelRom, type OptionRom } from '../firmware/option-roms.ts'
import type { kernelForFirmware } from '../loaders/firmware-kernel.ts'
import { type PcOptions, startsDirectly } from '../options/pc-options.ts'
import type { createVapic } from '../firmware/vapic.ts'

/** The parts of a PC that are loaded before it is composed. */
export interface PcParts {
  /** Kinds of the devices in this thread. */
  readonly kinds: readonly PlaceDevices[]
  /** Kinds of the controllers in a thread of their own. */
  readonly moved: readonly PlaceDevices[]
  /** Starts those controllers. */
  readonly elsewhere: typeof startControllers | undefined
  /** The option ROM of the TPR patcher, where there is one. */
  readonly vapicRoms: readonly OptionRom[]
  /** Makes the patcher, where an option ROM may be its own. */
  readonly createVapic: typeof createVapic | undefined
  /** Contents of the flash memories. */
  readonly flash: readonly Uint8Array[]
  /** Hands a kernel to firmware, where there are both. */
  readonly kernelForFirmware: typeof kernelForFirmware | undefined
  /** The machines in its memory, where it can be forked. */
  readonly family: ForkFamily | undefined
  /** Plugs Xen in, where the guest sees Xen. */
  readonly plugXen: typeof plugXen | undefined
  /** Takes samples, where the caller wants them. */
  readonly samplePc: typeof samplePc | undefined
  /** Watches models of the caller's, on deterministic time. */
  readonly watchModels: typeof watchModels | undefined
}

/** Loads what watches models of the caller's, on deterministic time. */
export async function loadWatch(options: Pick<PcOptions, 'clock' | 'devices'>): Promise<PcParts['watchModels']> {
  if (options.clock !== 'deterministic' || (options.devices ?? []).length === 0) return undefined
  return (await import('../devices/watched-models.ts')).watchModels
}

/** Prepares a machine that is to be forked. @param origin - of a clone */
export async function forkFamily<Options extends ForkableOptions>(
  options: Options,
  origin: Pick<ForkOrigin, 'family'> | undefined,
): Promise<{ readonly family: ForkFamily | undefined; readonly options: Options }> {
  if (options.forks === undefined) return { family: undefined, options }
  const [{ ForkFamily }, { withFreezableMedia }] = await Promise.all([
    import('../fork/fork-family.ts'),
    import('../fork/clone-options.ts'),
  ])
  return { family: origin?.family ?? new ForkFamily(), options: withFreezableMedia(options) }
}

/** Loads the parts that the options ask for, and no others. @throws MachineError `ERR_OPTION` */
export async function loadPcParts(options: PcOptions): Promise<Omit<PcParts, 'family'>> {
  const { moved, local } = divide(options)
  const isPatched = (options.vapic ?? false) !== false || (options.optionRoms ?? []).some((rom) => !isKernelRom(rom))
  const [flash, vapicRoms, vapic, kinds, movedKinds, elsewhere, xen, kernel, watch, sampling] = await Promise.all([
    loadFlash(options.flash ?? []),
    loadVapicRoms(options),
    isPatched ? import('../firmware/vapic.ts') : undefined,
    loadDeviceKinds(local),
    moved && loadDeviceKinds(moved),
    moved && import('../elsewhere/start-controllers.ts'),
    options.hypervisor === 'xen' ? import('@retrap/xen') : undefined,
    options.kernel === undefined || startsDirectly(options) ? undefined : import('../loaders/firmware-kernel.ts'),
    loadWatch(options),
    options.sampling && import('../life/call-stack.ts'),
  ])
  return {
    kinds,
    flash,
    vapicRoms,
    createVapic: vapic?.createVapic,
    plugXen: xen?.plugXen,
    kernelForFirmware: kernel?.kernelForFirmware,
    watchModels: watch,
    samplePc: sampling?.samplePc,
    moved: movedKinds ?? [],
    elsewhere: elsewhere?.startControllers,
  }
}

async function loadVapicRoms({ vapic = false }: PcOptions): Promise<readonly OptionRom[]> {
  if (vapic === false) return []
  const { vapicRom } = await import('../firmware/vapic-rom.ts')
  return [vapicRom(vapic)]
}

/** The devices of a PC that has been composed. */
interface PcDevices extends Required<PlacedDevices> {
  /** The place of devices in this thread, for those that are plugged in later. */
  readonly site: PcSite
  /** Settle when models of controllers elsewhere are there. */
  readonly ready: readonly Promise<void>[]
}

/**
 * Makes all devices. Controllers in a thread of their own become part of the domain; the models of this thread are not
 * attached yet, since the board comes first.
 *
 * @throws MachineError `ERR_OPTION`
 */
export function placePcDevices(
  domain: X86Domain,
  options: PcOptions,
  parts: PcParts,
  place: Omit<PcSite, 'options' | 'flash'>,
): PcDevices {
  const { moved, local } = divide(options)
  const site: PcSite = { ...place, options: local, flash: parts.flash }
  const elsewhere =
    moved && parts.elsewhere?.(options.controllerPlacement!, domain, { moved, kinds: parts.moved, site })
  if (elsewhere) domain.addServer(elsewhere.server)
  const devices = placeDevices(parts.kinds, site)
  return {
    ...devices,
    bootPaths: [...(elsewhere?.bootPaths ?? []), ...devices.bootPaths],
    site,
    ready: elsewhere ? [elsewhere.server.remote.ready] : [],
  }
}

/** Controllers for a thread of their own, and what stays in this one. */
function divide(options: PcOptions): { readonly moved?: MovedControllers; readonly local: PcOptions } {
  return options.controllerPlacement === undefined ? { local: options } : splitControllers(options)
}
