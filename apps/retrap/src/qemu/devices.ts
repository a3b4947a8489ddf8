import { Pairs } from './pairs.ts'

/** The line that a device becomes part of. */
export interface DeviceLine {
  readonly notes: string[]
  add(option: string, value: string): void
  /** Whether an option is there already. */
  has(option: string, value: RegExp): boolean
  /** Leads the next serial port there. */
  serial(target: string): void
  /** Takes the stream of a chardev for something that names its target itself. */
  takeChardev(id: string): string
  /** The board has what only a q35 has. */
  needsQ35(): void
  /** Makes a drive of `if=none` one of the board's. */
  placeDrive(id: string | undefined, media: string): void
}

/** Devices that are here by another name, or that another one stands for. */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^virtio-(net|blk|scsi|serial|rng|9p|keyboard|mouse|tablet)(-device|-pci.*)?$/, 'virtio-$1-pci'],
  [/^(e1000.+|i8255\d\w*|rtl8139|ne2k_(pci|isa)|pcnet|vmxnet3|igb)$/, 'e1000'],
  [/^(.*virtio-(vga|gpu).*|qxl(-vga)?|\w+-vga|bochs-display|vmware-svga)$/, 'VGA'],
  [/^(nec-usb-xhci|usb-ehci|.*-usb-[eu]hci\d?|pci-ohci)$/, 'qemu-xhci'],
  [/^((ich9-)?intel-hda|ES1370|sb16|virtio-sound.*|hda|ac97)$/, 'AC97'],
]
/** Devices that nothing here misses. */
const LEFT_OUT =
  /^(hda-.*|virtio-balloon.*|pvpanic|(intel|virtio)-iommu|vmcoreinfo|vmgenid|isa-vga|pcie?-.*bridge|i6300esb)$/
/** Properties that say how the host does something, or what is so here in any case. */
const LEFT_OUT_PROPERTIES =
  /^(audiodev|rng|iothread|iommu_platform|ats|mq|write-cache|share-rw|max-bytes|period|port|max_ports|multifunction|romfile|rombar|host_mtu|(logical|physical)_block_size|discard_granularity|rotation_rate|removable|max_outputs|v?ram\w*|vgamem_mb)$/

/** The name of a device of QEMU's, or of what stands for it, here. */
export function deviceHere(given: string): string {
  const [pattern, name = given] = NAMES.find(([one]) => one.test(given)) ?? []
  return pattern === undefined ? given : given.replace(pattern, name)
}

/** Translates `-device`. */
export function translateDevice(text: string, into: DeviceLine): void {
  const pairs = new Pairs(text).without(LEFT_OUT_PROPERTIES)
  const [[given] = ['']] = pairs.all
  if (LEFT_OUT.test(given)) return
  if (/^(ich9-)?ahci$/.test(given)) return into.needsQ35()
  if (/^ide-(hd|cd)$/.test(given)) return into.placeDrive(pairs.get('drive'), given === 'ide-cd' ? 'cdrom' : 'disk')
  if (/^(isa|pci)-serial/.test(given)) return into.serial(`chardev:${pairs.get('chardev')}`)
  if (given.startsWith('vhost-vsock')) return into.add('--vsock', `cid=${pairs.get('guest-cid')},uds=vsock.sock`)
  const kind = deviceHere(given)
  if (/^(e1000|VGA|AC97)$/.test(kind) && kind !== given) into.notes.push(`--device ${kind} stands for ${given}`)
  if (/^(qemu-xhci|AC97|VGA)$/.test(kind) && into.has('--device', new RegExp(`^${kind}`))) return
  if (/^usb-(kbd|mouse|tablet|storage)$/.test(kind) && !into.has('--device', /^qemu-xhci/))
    into.add('--device', 'qemu-xhci')
  if (/^(AC97|VGA)$/.test(kind)) pairs.without(/^id$/)
  if (kind === 'isa-debugcon' && pairs.has('chardev')) pairs.set('chardev', into.takeChardev(pairs.get('chardev')!))
  into.add('--device', pairs.text.replace(given, kind))
}
