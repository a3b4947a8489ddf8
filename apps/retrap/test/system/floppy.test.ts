import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { al, Assembler, ax, bx, byte, cx, ds, dx, es } from '@retrap/x86-assembler'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { TO_DEVICES } from '../support/first-process.ts'
import { floppyLinux } from '../support/floppy-linux.ts'
import { runRetrap } from '../support/processes.ts'
import { sha256 } from '../support/sha256.ts'

const linux = await floppyLinux()
const folder = temporaryFolder('floppy')

const note = skipNote(linux !== undefined, 'there is no apt')

test.skipIf(linux === undefined)(
  `Linux's driver reads a floppy, and writes it${note}`,
  { timeout: 200_000 },
  async () => {
    const disk = randomBytes(1_474_560)
    const path = join(folder, 'data.img')
    writeFileSync(path, disk)
    const initrd = join(folder, 'initrd')
    writeFileSync(initrd, linux!.initrd)
    const { stdout, stderr, code } = await runRetrap(
      [
        ...['run', '--memory', '256M', '--kernel', linux!.kernelPath, '--initrd', initrd],
        ...['--append', `${TO_DEVICES} rdinit=/auto`, '--drive', `if=floppy,file=${path},format=raw`],
      ],
      { deadlineMs: 180_000 },
    )
    const part = disk.subarray(100 * 512, 400 * 512)
    expect(stdout + stderr).toContain(`read ${sha256(part)}`)
    expect(code).toBe(0)
    disk.set(part, 2500 * 512)
    expect(sha256(readFileSync(path))).toBe(sha256(disk))
  },
)

const NOTE = 'Once upon a midnight dreary\n'
/** Where mtools puts the first file of a disk of 1.44 MB. */
const FIRST_SECTOR = 33

/** Copies that sector to the disk's last one, reads it back, and ends the machine with its first character. */
function bootSector(): Uint8Array {
  const asm = new Assembler({ bits: 16, address: 0x7c00 })
  const [main, failed, end] = [asm.label('main'), asm.label('failed'), asm.label('end')]
  asm.jmp(main).org(0x7c3e, 0x90).bind(main)
  asm.mov(ax, 0).mov(es, ax).mov(ds, ax)
  // Head 1, sector 16 of cylinder 0; head 1, sector 18 of cylinder 79.
  const disk = (service: number, cylinder: number, sector: number, buffer: number): void => {
    asm
      .mov(ax, (service << 8) | 1)
      .mov(cx, (cylinder << 8) | sector)
      .mov(dx, 0x0100)
      .mov(bx, buffer)
      .int(0x13)
    asm.jc(failed)
  }
  disk(2, 0, 16, 0x8000)
  disk(3, 79, 18, 0x8000)
  disk(2, 79, 18, 0x9000)
  asm.mov(al, byte(0x9000)).jmp(end)
  asm.bind(failed).mov(al, 1).bind(end).mov(dx, 0x501).out(dx, al).hlt()
  asm.org(0x7dfe, 0).db(0x55, 0xaa)
  return asm.assemble().bytes
}

const hasTools = hasProgram('mformat') && linux !== undefined
const toolsNote = skipNote(hasTools, 'there is no mtools or no apt')
test.skipIf(!hasTools)(
  `SeaBIOS boots a floppy that mtools has made, and writes it${toolsNote}`,
  { timeout: 90_000 },
  async () => {
    const image = join(folder, 'boot.img')
    writeFileSync(join(folder, 'boot.bin'), bootSector())
    writeFileSync(join(folder, 'note.txt'), NOTE)
    execFileSync('mformat', ['-C', '-f', '1440', '-B', join(folder, 'boot.bin'), '-i', image, '::'])
    execFileSync('mcopy', ['-i', image, join(folder, 'note.txt'), '::/'])
    const { stdout, stderr, code } = await runRetrap(['run', '--fda', image, '--device', 'isa-debug-exit'], {
      deadlineMs: 80_000,
    })
    expect(code, stdout + stderr).toBe((('O'.charCodeAt(0) << 1) | 1) & 0xff)
    const bytes = readFileSync(image)
    expect(bytes.length).toBe(1_474_560)
    const sector = bytes.subarray(FIRST_SECTOR * 512, (FIRST_SECTOR + 1) * 512)
    expect(sector.toString('latin1')).toContain(NOTE)
    expect(bytes.subarray(2879 * 512)).toEqual(sector)
  },
)
