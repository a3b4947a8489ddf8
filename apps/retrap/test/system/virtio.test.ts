import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openImage } from '@retrap/block/node'
import type { ByteStreamBackend, ByteStreamClient } from '@retrap/device'
import { createPc, type MachineVirtioPlace } from '@retrap/machine'
import { TEST_LONG } from '@retrap/tooling/long'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { makeExt4, makeGrubDisk, sumOf } from '../support/boot-media.ts'
import { linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from '../support/first-process.ts'
import { runRetrap, TEST_JIT } from '../support/processes.ts'
import { lackingPrograms } from '../support/programs.ts'
import { slow } from '../support/slow-image.ts'
import { sha256 } from '../support/sha256.ts'

const DEADLINE_MS = 300_000

const DRIVERS = ['virtio_pci', 'virtio_blk', 'virtio_rng', 'virtio_console']

/** The first process of `rdinit=/auto`. Its input is nothing, so that runs on deterministic time agree. */
const AUTO = `${FIRST_PROCESS}/drivers
cat /sys/bus/virtio/devices/virtio0/features
echo
head -c 32 /dev/hwrng | wc -c
echo 'to the console' > /dev/hvc0
exec 3<> /dev/vport2p1
echo ping >&3
head -n 1 <&3
exec 3>&-
cat /sys/class/virtio-ports/vport2p1/name
cat /sys/block/vda/serial
echo
mount /dev/vda /mnt
sha256sum /mnt/data
cp /mnt/data /mnt/copy
dd if=/mnt/copy of=/mnt/again bs=64k conv=fsync 2>/dev/null
sha256sum /mnt/again
umount /mnt
echo 3 > /proc/sys/vm/drop_caches
grep virtio /proc/interrupts
echo DONE
poweroff -f
`

const lacking = lackingPrograms('mke2fs', 'debugfs', 'e2fsck', 'grub-mkimage')
const linux = lacking.length === 0 ? await linuxWith(DRIVERS, AUTO) : undefined
const scratch = temporaryFolder('virtio')

/** A disk with ext4 and a file of random bytes. */
interface Disk {
  readonly bytes: Uint8Array
  readonly data: Uint8Array
}

function makeDisk(name: string): Disk {
  const data = randomBytes(1_500_001)
  const folder = join(scratch, name)
  const path = join(scratch, `${name}.ext4`)
  mkdirSync(folder)
  writeFileSync(join(folder, 'data'), data)
  makeExt4(path, 16 << 20, folder)
  return { bytes: readFileSync(path), data }
}

/** A stream that answers in capitals. */
class Echo implements ByteStreamBackend {
  #client: ByteStreamClient | null = null
  #kept = Buffer.alloc(0)

  connect(client: ByteStreamClient): void {
    this.#client = client
  }

  send(bytes: Uint8Array): void {
    this.#kept = Buffer.concat([this.#kept, Buffer.from(Buffer.from(bytes).toString('latin1').toUpperCase())])
    this.ready()
  }

  ready(): void {
    this.#kept = this.#kept.subarray(this.#client?.receive(this.#kept) ?? 0)
  }
}

/** Features 28 to 35 of the disk, as Linux prints them. */
const ringFeatures = (printed: string): string => /^([01]{64})\r?$/m.exec(printed)?.[1]?.slice(28, 36) ?? printed

const note = skipNote(linux !== undefined, `there is no ${lacking.length > 0 ? lacking.join(', ') : 'apt'}`)

describe.runIf(linux !== undefined)(`Linux's virtio drivers${note}`, () => {
  /** Boots Linux with a disk of random bytes. */
  async function run(
    name: string,
    place: MachineVirtioPlace,
    options: { readonly append?: string; readonly seed?: number; readonly disk?: Disk } = {},
  ): Promise<{ printed: string; instructions: number; again: string }> {
    const { append = '', seed, disk = makeDisk(name) } = options
    const path = join(scratch, `${name}.img`)
    writeFileSync(path, disk.bytes)
    const image = await openImage(path)
    const medium = seed === undefined ? image : slow(image, seed)
    let console = ''
    const sink = { send: (bytes: Uint8Array): void => void (console += Buffer.from(bytes).toString('latin1')) }
    const pc = await createPc({
      memoryBytes: 256 << 20,
      kernel: new Uint8Array(readFileSync(linux!.kernelPath)),
      initrd: linux!.initrd.slice(),
      commandLine: `${TO_DEVICES} rdinit=/auto ${append}`,
      clock: seed === undefined ? 'real' : 'deterministic',
      jit: TEST_JIT,
      drives: [{ medium, interface: 'virtio', virtio: place, serialNumber: 'DISK-1' }],
      virtio: [
        { kind: 'rng', ...place },
        { kind: 'console', ports: [{ stream: sink }, { stream: new Echo(), name: 'org.test' }], ...place },
      ],
    })
    let printed = ''
    pc.serial.onTransmit((bytes) => (printed += Buffer.from(bytes).toString('latin1')))
    expect(await pc.run({ timeoutMs: DEADLINE_MS })).toMatchObject({ reason: 'power-off' })
    const { instructions } = pc.statistics()
    pc.close()
    await image.close()
    expect(printed).toContain('DONE')
    expect(printed).toContain(`${sha256(disk.data)}  /mnt/data`)
    expect(printed).toContain(`${sha256(disk.data)}  /mnt/again`)
    expect(printed).toMatch(/^32\r?\nPING\r?\norg\.test\r?\nDISK-1\r?$/m)
    expect(console).toMatch(/^to the console\r?\n$/)
    const again = sumOf(path, '/again')
    expect(again).toBe(sha256(disk.data))
    return { printed, instructions, again }
  }

  test(
    `of version 1.0 alone, with packed rings: what is synced is on the host${TEST_LONG ? '; a slow host changes nothing' : ''}`,
    async () => {
      const place = { legacy: false, packed: true }
      const disk = makeDisk('packed')
      const first = await run('packed', place, { seed: 1, disk })
      // Indirect descriptors, event index, version 1.0, packed rings.
      expect(ringFeatures(first.printed)).toBe('11001010')
      expect(first.printed).toMatch(/PCI-MSI.*virtio0-req\.0/)
      // That a slow host changes nothing is shown of an IDE disk in each run (disks.test.ts).
      if (TEST_LONG) expect(await run('packed-again', place, { seed: 2, disk })).toEqual(first)
    },
    2 * DEADLINE_MS,
  )

  test('of old, with INTx', { timeout: DEADLINE_MS }, async () => {
    const { printed } = await run('legacy', { modern: false }, { append: 'pci=nomsi' })
    expect(ringFeatures(printed)).toBe('11000000')
    expect(printed).toMatch(/fasteoi +virtio0/)
  })

  test(
    'SeaBIOS and GRUB start Linux from a virtio disk; what it writes is in the image',
    async () => {
      const image = (await makeGrubDisk(mkdtempSync(join(scratch, 'grub-')), linux!))!
      const drive = `file=${image},if=none,id=d,format=raw`
      const device = 'virtio-blk-pci,drive=d,disable-legacy=on,num-queues=2'
      const args = ['run', '--drive', drive, '--device', device, '--no-reboot', '--cpus', '2', '--devices', 'inline']
      const { code, stdout } = await runRetrap(args, {
        answers: [
          { to: '/ # ', type: '/drivers; mount /dev/vda1 /mnt; cat /mnt/note.txt; ls /sys/block/vda/mq\n' },
          { to: 'written by the host', type: 'head -c 2000000 /dev/urandom > /mnt/new; sync; sha256sum /mnt/new\n' },
          { to: '  /mnt/new', type: 'umount /mnt; poweroff -f\n' },
        ],
        deadlineMs: DEADLINE_MS,
      })
      expect(stdout).toContain('GRUB starts Linux')
      expect(stdout).toMatch(/^0 +1/m)
      const told = /([0-9a-f]{64})  \/mnt\/new/.exec(stdout)?.[1]
      expect(sumOf(`${image}?offset=1048576`, '/new')).toBe(told)
      expect(code).toBe(0)
    },
    DEADLINE_MS,
  )
})
