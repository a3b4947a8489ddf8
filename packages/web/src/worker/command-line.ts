import type { SentDrive, SentNetwork, SentOptions, SentSource } from '../protocol.ts'

/** Returns a `retrap` command line that makes the same machine, for `retrap restore`: it names files by their original names. */
export function commandLineOf(options: SentOptions): string[] {
  const { images, drives, memoryBytes, cpus, cpu, board, commandLine, vga, tablet, hypervisor, sound, jit, network } =
    options
  const option = (name: string, value: string | number | undefined): string[] =>
    value === undefined ? [] : [name, String(value)]
  const file = (name: string, source: SentSource | undefined): string[] =>
    source === undefined ? [] : [name, nameOf(source) ?? `${name.slice(2)}.bin`]
  return [
    'run',
    ...option('--memory', memoryBytes === undefined ? undefined : `${memoryBytes / 1024}K`),
    ...option('--cpus', cpus),
    ...option('--cpu', cpu),
    ...(board === 'virt' ? ['--arch', 'arm64'] : option('--machine', board)),
    ...option('--vga', vga),
    ...option('--hypervisor', hypervisor === 'xen' ? hypervisor : undefined),
    ...option('--jit', jit === false ? 'off' : undefined),
    ...file('--kernel', images.kernel),
    ...file('--initrd', images.initrd),
    ...option('--append', commandLine),
    ...file('--firmware', images.firmware),
    // The controller must precede the USB devices.
    ...(tablet === true || hasUsbDrive(drives) ? ['--device', 'qemu-xhci'] : []),
    ...(tablet === true ? ['--device', 'usb-tablet'] : []),
    ...(sound === true ? ['--device', 'AC97'] : []),
    ...(network === undefined ? [] : ['--nic', nicOf(network)]),
    ...(drives ?? []).flatMap(driveOf),
  ]
}

const hasUsbDrive = (drives: SentOptions['drives']): boolean =>
  drives?.some((drive) => drive.interface === 'usb') === true

/** The interfaces that `--drive` has; others are a `--device`. */
const PLAIN: Readonly<Record<string, string>> = { ide: 'ide', virtio: 'virtio', scsi: 'scsi' }
const DEVICES: Readonly<Record<string, string>> = { nvme: 'nvme', usb: 'usb-storage' }

function driveOf({ id, media = 'disk', interface: way = 'ide', source }: SentDrive): string[] {
  const name = source === null ? null : (nameOf(source) ?? `${id}.img`)
  const where = name === null ? '' : `file=${name.replaceAll(',', ',,')},`
  const drive = ['--drive', `${where}if=${PLAIN[way] ?? 'none'},media=${media},id=${id}`]
  return DEVICES[way] === undefined ? drive : [...drive, '--device', `${DEVICES[way]},drive=${id}`]
}

/** Returns the host's network in place of `fetch` and `wisp`. It has no hub of tabs, and a relay's address may be secret. */
function nicOf(network: SentNetwork): string {
  const { kind, card, macAddress } = network
  return [
    kind === 'fetch' || kind === 'wisp' ? 'user' : 'hubport,hubid=0',
    ...(card === undefined ? [] : [`model=${card}`]),
    ...(macAddress === undefined ? [] : [`mac=${macAddress}`]),
  ].join(',')
}

/** Returns the name of a file; undefined for an unnamed source. */
function nameOf(source: SentSource): string | undefined {
  if ('url' in source) return new URL(source.url).pathname.split('/').at(-1) || undefined
  return 'blob' in source && source.blob instanceof File ? source.blob.name : undefined
}
