import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openImage } from '@retrap/block/node'
import { createPc } from '@retrap/machine'
import { skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect } from 'vitest'
import { makeExt4, makeGrubDisk, makeIsolinuxCd, makeIso, sumOf } from '../support/boot-media.ts'
import { diskLinux } from '../support/disk-linux.ts'
import { TO_DEVICES } from '../support/first-process.ts'
import { runRetrap, TEST_JIT } from '../support/processes.ts'
import { lackingPrograms } from '../support/programs.ts'
import { slow } from '../support/slow-image.ts'
import { sha256 } from '../support/sha256.ts'

const test = sliceTests(5)
const DEADLINE_MS = 300_000

/** Firmware and boot loaders move each word by an access of its own: a turn of the event loop for each takes too long. */
const INLINE = ['--devices', 'inline'] as const

const lacking = lackingPrograms('mke2fs', 'debugfs', 'e2fsck', 'xorriso', 'grub-mkimage')
const linux = lacking.length === 0 ? await diskLinux() : undefined
const scratch = temporaryFolder('disks')

/** A folder with a text and a file of random bytes. */
function makeFolder(name: string, note: string, data: Uint8Array): string {
  const folder = join(scratch, name)
  mkdirSync(folder)
  writeFileSync(join(folder, 'note.txt'), `${note}\n`)
  writeFileSync(join(folder, 'data'), data)
  return folder
}

const note = skipNote(linux !== undefined, `there is no ${lacking.length > 0 ? lacking.join(', ') : 'apt'}`)

describe.runIf(linux !== undefined)(`disks and CDs${note}`, () => {
  test(
    'SeaBIOS and GRUB start Linux from a disk; what it writes is in the image, and the file system is in order',
    async () => {
      const image = (await makeGrubDisk(mkdtempSync(join(scratch, 'grub-')), linux!))!
      const { code, stdout } = await runRetrap(['run', image, '--no-reboot', ...INLINE], {
        answers: [
          {
            to: '/ # ',
            type: '/drivers; cat /sys/class/dmi/id/product_name; mount /dev/sda1 /mnt; cat /mnt/note.txt\n',
          },
          { to: 'written by the host', type: 'head -c 2000000 /dev/urandom > /mnt/new; sync; sha256sum /mnt/new\n' },
          { to: '  /mnt/new', type: 'umount /mnt; poweroff -f\n' },
        ],
        deadlineMs: DEADLINE_MS,
      })
      expect(stdout).toContain('Booting from Hard Disk')
      expect(stdout).toContain('GRUB starts Linux')
      // From the SMBIOS tables that SeaBIOS has placed.
      expect(stdout).toContain('retrap PC\r\n')
      const told = /([0-9a-f]{64})  \/mnt\/new/.exec(stdout)?.[1]
      expect(sumOf(`${image}?offset=1048576`, '/new')).toBe(told)
      expect(code).toBe(0)
    },
    DEADLINE_MS,
  )

  test('SeaBIOS and ISOLINUX start Linux from a CD', { timeout: DEADLINE_MS }, async () => {
    const image = (await makeIsolinuxCd(mkdtempSync(join(scratch, 'cd-')), linux!))!
    const { code, stdout } = await runRetrap(['run', '--cdrom', image, ...INLINE], {
      answers: [
        { to: '/ # ', type: '/drivers; mount -o ro /dev/sr0 /mnt; cat /mnt/note.txt; sha256sum /mnt/vmlinuz\n' },
        { to: '  /mnt/vmlinuz', type: 'poweroff -f\n' },
      ],
      deadlineMs: DEADLINE_MS,
    })
    expect(stdout).toContain('Booting from DVD/CD')
    expect(stdout).toContain('ISOLINUX')
    expect(stdout).toContain('on the disc')
    expect(/([0-9a-f]{64})  \/mnt\/vmlinuz/.exec(stdout)?.[1]).toBe(sha256(readFileSync(linux!.kernelPath)))
    expect(code).toBe(0)
  })

  test(
    'a kernel that is given finds its drives; devices answer in later turns, and the disk stays as it is',
    async () => {
      const path = join(scratch, 'async.img')
      const [onDisk, onCd] = [randomBytes(300_000), randomBytes(200_000)]
      makeExt4(path, 8 << 20, makeFolder('async-disk', 'on the disk', onDisk))
      const before = sha256(readFileSync(path))
      const cd = join(scratch, 'async.iso')
      makeIso(cd, makeFolder('async-cd', 'on the disc', onCd))
      const initrd = join(scratch, 'initrd')
      writeFileSync(initrd, linux!.initrd)
      const drives = ['--drive', `file=${path},if=ide,format=raw,snapshot=on`, '--cdrom', cd, '--devices', 'async']
      const append = `${TO_DEVICES} rdinit=/auto`
      const kernel = ['--kernel', linux!.kernelPath, '--initrd', initrd, '--append', append]
      const { code, stdout } = await runRetrap(['run', ...kernel, ...drives], { deadlineMs: DEADLINE_MS })
      expect(stdout).toContain(`${sha256(onDisk)}  /mnt/data`)
      expect(stdout).toContain(`${sha256(onCd)}  /mnt/copy`)
      expect(sha256(readFileSync(path))).toBe(before)
      expect(code).toBe(0)
    },
    DEADLINE_MS,
  )

  test(
    'Linux writes a qcow2 image over a raw one; committed, the raw one has it all',
    async () => {
      const [base, image] = [join(scratch, 'base.img'), join(scratch, 'over.qcow2')]
      makeExt4(base, 8 << 20, makeFolder('below', 'below', randomBytes(300_000)))
      const before = sha256(readFileSync(base))
      const initrd = join(scratch, 'initrd-qcow2')
      writeFileSync(initrd, linux!.initrd)
      const made = await runRetrap(['image', 'create', '-f', 'qcow2', '-b', base, '-F', 'raw', image], {
        deadlineMs: DEADLINE_MS,
      })
      expect(made).toMatchObject({ code: 0 })
      const kernel = ['--kernel', linux!.kernelPath, '--initrd', initrd, '--append', TO_DEVICES]
      const { code, stdout } = await runRetrap(['run', ...kernel, image, ...INLINE], {
        answers: [
          { to: '/ # ', type: '/drivers; mount /dev/sda /mnt; cat /mnt/note.txt\n' },
          { to: 'below', type: 'head -c 2000000 /dev/urandom > /mnt/new; sync; sha256sum /mnt/new\n' },
          { to: '  /mnt/new', type: 'umount /mnt; poweroff -f\n' },
        ],
        deadlineMs: DEADLINE_MS,
      })
      const told = /([0-9a-f]{64})  \/mnt\/new/.exec(stdout)?.[1]
      expect(code).toBe(0)
      expect(sha256(readFileSync(base))).toBe(before)
      expect(await runRetrap(['image', 'check', image], { deadlineMs: DEADLINE_MS })).toMatchObject({ code: 0 })
      expect(await runRetrap(['image', 'commit', image], { deadlineMs: DEADLINE_MS })).toMatchObject({ code: 0 })
      expect(sumOf(base, '/new')).toBe(told)
    },
    DEADLINE_MS,
  )

  test(
    'two runs on deterministic time agree, however long the host takes for each request',
    async () => {
      const [onDisk, onCd] = [randomBytes(700_001), randomBytes(500_001)]
      const cd = join(scratch, 'data.iso')
      makeIso(cd, makeFolder('cd', 'on the disc', onCd))
      const folder = makeFolder('disk', 'on the disk', onDisk)
      const run = async (seed: number): Promise<{ printed: string; instructions: number; copy: string }> => {
        const path = join(scratch, `data-${seed}.img`)
        if (seed === 1) makeExt4(path, 16 << 20, folder)
        else writeFileSync(path, readFileSync(join(scratch, 'first.img')))
        if (seed === 1) writeFileSync(join(scratch, 'first.img'), readFileSync(path))
        const disk = slow(await openImage(path), seed)
        const disc = slow(await openImage(cd, { readOnly: true }), seed * 7)
        const pc = await createPc({
          memoryBytes: 256 << 20,
          kernel: new Uint8Array(readFileSync(linux!.kernelPath)),
          initrd: linux!.initrd.slice(),
          commandLine: `${TO_DEVICES} rdinit=/auto`,
          clock: 'deterministic',
          jit: TEST_JIT,
          drives: [{ medium: disk }, { medium: disc, media: 'cdrom' }],
        })
        let printed = ''
        pc.serial.onTransmit((bytes) => (printed += Buffer.from(bytes).toString('latin1')))
        const exit = await pc.run({ timeoutMs: DEADLINE_MS })
        expect(exit).toMatchObject({ reason: 'power-off' })
        const { instructions } = pc.statistics()
        pc.close()
        await disk.close()
        await disc.close()
        return { printed, instructions, copy: sumOf(path, '/copy') }
      }
      const first = await run(1)
      expect(first.printed).toContain('on the disk\r\non the disc')
      expect(first.printed).toContain(`${sha256(onDisk)}  /mnt/data`)
      expect(first.printed).toContain(`${sha256(onCd)}  /cd/data`)
      expect(first.printed).toContain(`${sha256(onCd)}  /mnt/copy`)
      expect(first.copy).toBe(sha256(onCd))
      expect(await run(2)).toEqual(first)
    },
    2 * DEADLINE_MS,
  )
})
