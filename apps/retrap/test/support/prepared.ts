// Machines that have booted: a Linux waits for a script. A run of tests boots each kind once, and saves it; tests go on from
// there, with media, networks, consoles and places of devices of their own.
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { madeOnce } from '@retrap/tooling/made-once'
import { inject } from 'vitest'
import type { Machine, MachineSnapshot } from '@retrap/linux-guest/machine/machine-contract'
import { openSnapshotFile, writeSnapshotFile } from '@retrap/linux-guest/machine/snapshots/snapshot-file'
import { linuxWith } from './disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from './first-process.ts'
import { type HereOptions, runHere } from './in-process.ts'
import type { Finished } from './processes.ts'

const READY = 'waits for a script'
const LAST_LINE = 'THE END OF THE SCRIPT'

const DRIVERS =
  'ata_piix sd_mod sr_mod ext4 virtio_pci virtio_blk virtio_rng virtio_console virtio_net virtio_scsi nvme button evdev'.split(
    ' ',
  )

/**
 * The first process: loads drivers, and waits for devices that come later. The script's input is the console too. Nothing
 * of a medium is kept in memory, and sed reads a line more than it prints.
 */
const WAITING = `${FIRST_PROCESS}mount -t tmpfs tmpfs /tmp
/drivers
for device in $(echo $devices | tr , ' '); do while ! [ -e /sys/class/$device ]; do sleep 0.1; done; done
dmesg -c > /dev/null
echo 3 > /proc/sys/vm/drop_caches
stty -echo
echo ${READY}
sed -n '/^${LAST_LINE}$/q;p' > /tmp/script
echo 3 > /proc/sys/vm/drop_caches
exec sh /tmp/script
`

const MIB = 1 << 20

/** Something of a machine that a test may bring along. */
interface Slot {
  readonly option: '--drive' | '--netdev' | '--chardev'
  /** What it is where the test brings nothing: a raw image of so many bytes, or a text. */
  readonly usual: number | string
  /** What belongs to the machine. */
  readonly rest: string
}

interface Kind {
  readonly slots: Readonly<Record<string, Slot>>
  readonly machine: readonly string[]
  /** What appears in /sys/class when its drivers have found it. */
  readonly devices: string
}

const medium = (usual: number, rest: string): Slot => ({ option: '--drive', usual, rest })
const devices = (...all: readonly string[]): readonly string[] => all.flatMap((device) => ['--device', device])

const KINDS = {
  /** A PC with a controller of each kind, and a device at each. */
  pc: {
    slots: {
      disk: medium(8 * MIB, 'if=ide'),
      disc: medium(MIB, 'if=ide,media=cdrom,id=ide'),
      virtio: medium(MIB, 'if=none,id=v'),
      nvme: medium(MIB, 'if=none,id=n'),
      scsi: medium(MIB, 'if=none,id=s'),
      scsiDisc: medium(MIB, 'if=none,media=cdrom,id=scsi'),
      net: { option: '--netdev', usual: 'user', rest: 'id=net' },
      terminal: { option: '--chardev', usual: 'null', rest: 'id=terminal' },
      port: { option: '--chardev', usual: 'null', rest: 'id=port' },
    },
    machine: devices(
      'virtio-blk-pci,drive=v,serial=DISK-1,disable-legacy=on,packed=on',
      ...['nvme,drive=n,serial=NV-1', 'scsi-hd,drive=s,scsi-id=4,serial=SC-1', 'scsi-cd,drive=scsi'],
      ...['virtio-net-pci,netdev=net', 'virtio-rng-pci,disable-legacy=on,packed=on'],
      ...['virtio-serial-pci', 'virtserialport,chardev=port,name=org.test.0', 'virtconsole,chardev=terminal'],
    ),
    devices: 'block/sda,block/sdb,block/sr1,block/vda,block/nvme0n1,net/eth0',
  },
} as const satisfies Readonly<Record<string, Kind>>

type KindName = keyof typeof KINDS
type SlotsOf<Name extends KindName> = Partial<Record<keyof (typeof KINDS)[Name]['slots'], string>>

const linux = await linuxWith(DRIVERS, WAITING)

/** Whether there is a Linux to go on with: it is fetched by apt. */
export const isPrepared: boolean = linux !== undefined

/** The command line of a machine. @param folder - a folder for what a test does not bring along */
function argumentsOf(kind: Kind, slots: Readonly<Record<string, string | undefined>>, folder: string): string[] {
  const initrd = join(folder, 'initrd')
  writeFileSync(initrd, linux!.initrd)
  const all = Object.entries(kind.slots).flatMap(([name, { option, usual, rest }]) => [
    option,
    `${slots[name] ?? usualFor(usual, join(folder, name))},${rest}`,
  ])
  const append = `${TO_DEVICES} rdinit=/auto devices=${kind.devices}`
  const start = ['--kernel', linux!.kernelPath, '--initrd', initrd, '--append', append]
  return ['run', '--memory', '256M', ...start, ...all, ...kind.machine]
}

function usualFor(usual: Slot['usual'], path: string): string {
  if (typeof usual === 'string') return usual
  writeFileSync(path, '')
  truncateSync(path, usual)
  return `file=${path},format=raw`
}

/** The file of a kind's snapshot. */
async function snapshotOf(name: KindName): Promise<string> {
  await madeOnce(name, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'retrap-prepared-'))
    const file = join(folder, 'file')
    let machine: Machine | undefined
    let saved: Promise<MachineSnapshot> | undefined
    await runHere(argumentsOf(KINDS[name], {}, folder), {
      onMachine: (made) => (machine = made),
      onOutput: (output, signal) => {
        if (!output.includes(READY)) return
        saved ??= machine!.save!().finally(() => signal('SIGINT'))
      },
      deadlineMs: 500_000,
    })
    if (saved === undefined) throw new Error(`the machine ${name} has not booted`)
    await writeSnapshotFile(file, { version: 1, arguments: [], savedAt: '' }, await saved)
    const bytes = readFileSync(file)
    rmSync(folder, { recursive: true })
    return new Map([['snapshot', bytes]])
  })
  return join(inject('runFolder'), name, 'snapshot')
}

/**
 * Goes on with a machine that has booted.
 *
 * @param script - a shell's; drivers are loaded
 * @param slots - what the test brings along; media have the sizes that they are booted with
 * @param more - further options of `retrap run`
 */
export async function goOn<Name extends KindName>(
  name: Name,
  script: string,
  slots: SlotsOf<Name>,
  options: HereOptions & { readonly more?: readonly string[] },
): Promise<Finished> {
  const snapshot = await openSnapshotFile(await snapshotOf(name))
  const folder = mkdtempSync(join(tmpdir(), 'retrap-go-on-'))
  try {
    return await runHere([...argumentsOf(KINDS[name], slots, folder), ...(options.more ?? [])], {
      ...options,
      snapshot,
      onMachine: (machine) => {
        machine.serialPorts[0]!.receive(new TextEncoder().encode(`${script}\n${LAST_LINE}\n\n`))
        options.onMachine?.(machine)
      },
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}
