import type { Pairs } from '../../options/pairs.ts'

/** The line that a device becomes part of. */
export interface DeviceLine {
  readonly notes: string[]
  /** The board is Arm's, which has virtio transports in memory. */
  readonly isArm: boolean
  add(option: string, value: string): void
  /** Whether an option was given already. */
  has(option: string, value: RegExp): boolean
  /** Sets the target of the next serial port. */
  serial(target: string): void
  /** Removes a chardev, and returns its stream for an option that names its target itself. */
  takeChardev(id: string): string
  /** Records that the machine needs a q35's features. */
  needsQ35(): void
  /** Places a drive of `if=none` on the board itself. */
  placeDrive(device: Pairs, media: string): void
  /** The properties that `-global` gives a device of QEMU's. */
  globals(driver: string): readonly (readonly [key: string, value: string])[]
  /** The host's action where a watchdog's time is over, or the guest has panicked. */
  action(event: 'watchdog' | 'panic'): string | undefined
}

/** Devices with another name here, or replaced by another device. */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^virtio-(net|blk|scsi|serial|rng|9p|keyboard|mouse|tablet)(-pci.*)?$/, 'virtio-$1-pci'],
  [/^(e1000.+|i8255\d\w*|rtl8139|ne2k_(pci|isa)|pcnet|vmxnet3|igb|usb-net)$/, 'e1000'],
  [/^(.*virtio-(vga|gpu).*|qxl(-vga)?|\w+-vga|bochs-display|vmware-svga)$/, 'VGA'],
  [/^(nec-usb-xhci|usb-ehci|.*-usb-[eu]hci\d?|pci-ohci)$/, 'qemu-xhci'],
  [/^pvpanic(-pci)?$/, 'pvpanic'],
  [/^((ich9-)?intel-hda|ES1370|sb16|virtio-sound.*|hda|ac97)$/, 'AC97'],
]
/** QEMU's devices that are not needed here, and why. */
const LEFT_OUT: readonly (readonly [RegExp, string])[] = [
  [/^hda-/, 'AC97 has its codec'],
  [/^virtio-balloon/, 'the guest has its memory, and nobody asks for it back'],
  [/^(intel|virtio)-iommu$|^amd-iommu$/, 'there is no IOMMU'],
  [/^vmcoreinfo$/, 'nothing here reads what it would tell'],
  [/^vmgenid$/, 'the machine always has one'],
  [/^isa-vga$/, 'the graphics card is on the PCI bus'],
  [/^pcie?-.*bridge|^pxb|^x3130|^ioh3420/, 'devices are on the root bus'],
]
/** QEMU's devices that other options make. */
const OF_BOARD: readonly (readonly [RegExp, string])[] = [
  [/^(ich9-)?ahci$/, 'the controller of --machine q35'],
  [/^ide-(hd|cd|drive)$/, 'a drive of the board, not of if=none'],
  [/^(isa|pci)-serial/, '--serial'],
  [/^vhost-vsock/, '--vsock'],
]
const VERSION_2 =
  'virtio-mmio devices have version 2 here, as with -global virtio-mmio.force-legacy=false; where the guest has only a driver for version 1, write virtio-…-pci for virtio-…-device'
/** Properties about the host's implementation, or that always have the requested value here. */
const LEFT_OUT_PROPERTIES =
  /^(audiodev|rng|iothread|iommu_platform|ats|mq|write-cache|share-rw|max-bytes|period|port|max_ports|multifunction|romfile|rombar|host_mtu|(logical|physical)_block_size|discard_granularity|rotation_rate|removable|max_outputs|v?ram\w*|vgamem_mb)$/

/** Returns our name for one of QEMU's devices, or its replacement. */
export function deviceHere(given: string): string {
  const [pattern, name = given] = NAMES.find(([one]) => one.test(given)) ?? []
  return pattern === undefined ? given : given.replace(pattern, name)
}

/** Translates `-device`. */
export function translateDevice(pairs: Pairs, into: DeviceLine): void {
  const given = pairs.kind
  const why = LEFT_OUT.find(([pattern]) => pattern.test(given))?.[1]
  if (why !== undefined) return void into.notes.push(`left out: -device ${pairs.text} (${why})`)
  for (const [key, value] of into.globals(given)) if (!pairs.has(key)) pairs.set(key, value)
  const ours = OF_BOARD.find(([pattern]) => pattern.test(given))?.[1]
  if (ours !== undefined) {
    into.notes.push(`-device ${pairs.text}: it is ${ours}`)
    if (given.endsWith('ahci')) return into.needsQ35()
    if (given.startsWith('ide')) return into.placeDrive(pairs, given === 'ide-cd' ? 'cdrom' : 'disk')
    if (given.startsWith('vhost')) return into.add('--vsock', `cid=${pairs.get('guest-cid')},uds=vsock.sock`)
    return into.serial(`chardev:${pairs.get('chardev')}`)
  }
  pairs.without(LEFT_OUT_PROPERTIES)
  const [, onBus] = /^virtio-(\w+)-device$/.exec(given) ?? []
  const kind = onBus === undefined ? deviceHere(given) : into.isArm ? given : `virtio-${onBus}-pci`
  const stands = onBus !== undefined || /^(e1000|VGA|AC97|qemu-xhci)$/.test(kind)
  if (onBus === 'gpu') return void into.notes.push(`left out: -device ${pairs.text} (write -device VGA for a picture)`)
  const isLegacy = !into
    .globals('virtio-mmio')
    .some(([key, value]) => key === 'force-legacy' && /^(false|off)$/.test(value))
  if (into.isArm && onBus !== undefined && isLegacy && !into.notes.includes(VERSION_2)) into.notes.push(VERSION_2)
  if (stands && kind !== given) into.notes.push(`--device ${kind} stands for ${given}`)
  if (/^(qemu-xhci|AC97|VGA)$/.test(kind) && into.has('--device', new RegExp(`^${kind}`))) return
  if (/^usb-(kbd|mouse|tablet|storage)$/.test(kind) && !into.has('--device', /^qemu-xhci/))
    into.add('--device', 'qemu-xhci')
  if (/^(AC97|VGA)$/.test(kind)) pairs.without(/^id$/)
  if (kind === 'isa-debugcon' && pairs.has('chardev')) pairs.set('chardev', into.takeChardev(pairs.get('chardev')!))
  const action = kind === 'i6300esb' ? into.action('watchdog') : kind === 'pvpanic' ? into.action('panic') : undefined
  if (action !== undefined) pairs.set('action', action)
  into.add('--device', pairs.text.replace(given, kind))
}
