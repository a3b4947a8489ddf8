import type { BlockBackend, PacketBackend } from '@retrap/device'
import { type BlockImage, CopyBeforeWrite, Overlay } from '@retrap/block'
import { type ComposedOptions, traitsOf } from '../refusals/traits.ts'
import type { MachineDrive } from '../options/drives.ts'
import { MachineError } from '../errors.ts'
import type { MachineFlash } from '../firmware/flash.ts'
import { RemovableDrive } from '../devices/removable-drive.ts'
import type { MachineVirtioDevice } from '../options/virtio-device.ts'
import type { PcForkOptions } from './fork-options.ts'

/** The options of a clone's own, of a machine of any board. */
export interface CloneChanges extends PcForkOptions, Pick<ComposedOptions, 'virtioMmio'> {}

/** Options for which a machine can be forked: its media can be frozen. */
export function withFreezableMedia<Options extends ComposedOptions>(options: Options): Options {
  const drives = options.drives?.map((drive) =>
    isFixed(drive) ? { ...drive, medium: new CopyBeforeWrite(drive.medium) } : drive,
  )
  return { ...options, ...(drives && { drives }) }
}

/** Whether a drive's medium stays in place, and is writable for the guest. */
function isFixed(drive: MachineDrive): drive is MachineDrive & { readonly medium: BlockBackend } {
  const { medium, media, interface: by } = drive
  return medium !== null && media !== 'cdrom' && by !== 'floppy' && !medium.properties.readOnly
}

/** Names the options that a machine needs to be forked, or its clone; undefined for none. */
function hindranceOf(options: ComposedOptions, changes: CloneChanges): string | undefined {
  if (options.forks === undefined)
    return 'its memory has no room for clones: make it with the option forks: { clones, writtenBytes }'
  const own = options.devices ?? []
  if (own.length !== (changes.devices ?? []).length)
    return `a clone needs models of its own for ${own.map(({ name }) => name).join(', ') || 'none'}: pass as many new ones as devices`
  if (options.virtio?.some(({ kind }) => kind === 'device') === true && changes.virtio === undefined)
    return 'a clone needs virtio devices of its own: pass new ones as virtio'
  if ((options.virtioMmio ?? []).length > 0 && changes.virtioMmio === undefined)
    return 'a clone needs virtio devices of its own: pass new ones as virtioMmio'
  if (traitsOf(options).has('usb-device') && changes.usb === undefined)
    return 'a clone needs USB devices of its own: pass new ones as usb'
  if (changes.drives !== undefined && String(sizesOf(changes.drives)) !== String(sizesOf(options.drives)))
    return `the clone's drives have other sizes: expected ${sizesOf(options.drives).join(', ')} bytes`
  const written = (changes.drives ?? options.drives ?? []).find(({ medium }) => mayWrite(medium))
  if (written !== undefined)
    return `the guest may write to the medium of ${(written.medium as RemovableDrive).id}: eject it, or make it read-only`
  return undefined
}

const sizesOf = (drives: readonly MachineDrive[] = []): readonly number[] =>
  drives.map(({ medium }) => medium?.properties.bytes ?? 0)

/** Whether a medium that can be exchanged is in, and can be written. */
const mayWrite = (medium: BlockBackend | null): boolean =>
  medium instanceof RemovableDrive && medium.medium !== null && !medium.properties.readOnly

/** @throws MachineError `ERR_FORK` with advice */
export function checkForkable(options: ComposedOptions, changes: CloneChanges): void {
  const why = hindranceOf(options, changes)
  if (why !== undefined) throw new MachineError('ERR_FORK', `this machine cannot be forked: ${why}`)
}

/** Media as of one instant, each with an overlay for the clone's writes. */
export interface CloneMedia {
  /** Media in the order of the drives. */
  readonly drives: readonly (BlockBackend | null)[]
  readonly flash: readonly BlockBackend[]
  close(): void
}

/** Freezes the media of a machine at this instant, while its devices rest. A clone's own media replace its drives'. */
export function freezeMedia({ drives = [], flash = [] }: ComposedOptions, changes: CloneChanges = {}): CloneMedia {
  const layers: BlockImage[] = []
  const layered = (medium: BlockBackend, frozen: BlockBackend): BlockBackend => {
    const layer = new Overlay(frozen, { discards: medium.properties.discards })
    layers.push(layer)
    return layer
  }
  return {
    drives: drives.map(({ medium }, i) => {
      if (changes.drives !== undefined) return changes.drives[i]!.medium
      if (medium instanceof RemovableDrive) return medium.medium
      return medium instanceof CopyBeforeWrite ? layered(medium, medium.freeze()) : medium
    }),
    // The contents are part of the machine's state, so the medium is not read again.
    flash: flash.map(({ medium }) => (medium.properties.readOnly ? medium : layered(medium, unowned(medium)))),
    close: () => layers.forEach((layer) => void layer.close()),
  }
}

/** A medium that another machine closes. */
function unowned(medium: BlockBackend): BlockBackend {
  return {
    properties: medium.properties,
    read: (offset, into, request) => medium.read(offset, into, request),
    write: (offset, from, request) => medium.write(offset, from, request),
    flush: (request) => medium.flush(request),
    discard: (offset, bytes, request) => medium.discard(offset, bytes, request),
    writeZeroes: (offset, bytes, request) => medium.writeZeroes(offset, bytes, request),
    onChange: (listener) => medium.onChange(listener),
  }
}

/** A disconnected network back end with the properties of the forked machine's. */
function unplugged({ linkUp, macAddress, maximumBytes }: PacketBackend): PacketBackend {
  return {
    linkUp,
    ...(macAddress && { macAddress }),
    maximumBytes,
    connect: () => undefined,
    send: () => true,
    ready: () => undefined,
  }
}

/** Returns a clone's virtio device: the same device with a disconnected back end. */
function silent(device: MachineVirtioDevice): MachineVirtioDevice {
  if (device.kind === 'net') return { ...device, network: unplugged(device.network) }
  if (device.kind === 'vsock') return { ...device, host: undefined }
  if (device.kind !== 'console') return device
  return { ...device, ports: device.ports.map((port) => ({ ...port, stream: { send: () => undefined } })) }
}

/** The options of a clone. @param options - of the machine that is forked */
export function cloneOptions<Options extends ComposedOptions>(
  options: Options,
  changes: CloneChanges,
  media: CloneMedia,
): Options {
  const { drives, flash, virtio, networkCards, sound } = options
  const { deadlineMs: _, drives: __, ...own } = changes
  return {
    ...options,
    snapshot: undefined,
    drives: drives?.map((drive, i): MachineDrive => ({ ...drive, medium: media.drives[i]! })),
    flash: flash?.map((each, i): MachineFlash => ({ ...each, readOnly: isReadOnly(each), medium: media.flash[i]! })),
    virtio: virtio?.map(silent),
    networkCards: networkCards?.map((card) => ({ ...card, network: unplugged(card.network) })),
    sound: sound?.map((device) => ({ ...device, audio: undefined })),
    ...(options.speaker && { speaker: { play: () => undefined } }),
    devices: [],
    keyboard: undefined,
    mouse: undefined,
    screen: undefined,
    onSleep: undefined,
    onDeviceFailure: undefined,
    onWarning: undefined,
    trace: undefined,
    sampling: undefined,
    ...own,
  }
}

const isReadOnly = ({ readOnly, medium }: MachineFlash): boolean => readOnly ?? medium.properties.readOnly
