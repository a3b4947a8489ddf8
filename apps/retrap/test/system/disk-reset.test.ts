import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Apt } from '@retrap/debian'
import { skipNote } from '@retrap/tooling/skip'
import { sliced } from '@retrap/tooling/slice'
import { al, Assembler, ax, bx, byte, cx, ds, dx, es, imm16, imm8 } from '@retrap/x86-assembler'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { runHere } from '../support/in-process.ts'

const hasApt = await Apt.isAvailable()
const folder = temporaryFolder('reset')

const BUFFER = 0x8000
const MARK = 0x4d

/** A boot sector that marks the second sector and resets the machine; where the mark is there, it says so and powers off. */
function markingDisk(): Uint8Array {
  const asm = new Assembler({ bits: 16, address: 0x7c00 })
  const marked = asm.label()
  /** INT 13h, function 2 or 3: cylinder 0, head 0, sector 2 of the first disk. */
  const transfer = (service: number): void =>
    void asm
      .mov(ax, imm16((service << 8) | 1))
      .mov(bx, imm16(BUFFER))
      .mov(cx, imm16(2))
      .mov(dx, imm16(0x80))
      .int(0x13)
  asm.xor(ax, ax).mov(ds, ax).mov(es, ax)
  transfer(2)
  asm.cmp(byte(BUFFER), MARK).je(marked).mov(byte(BUFFER), MARK)
  transfer(3)
  asm.mov(dx, imm16(0xcf9)).mov(al, imm8(6)).out(dx, al).hlt()
  asm.bind(marked).mov(dx, imm16(0x3f8)).mov(al, byte(BUFFER)).out(dx, al)
  asm.mov(dx, imm16(0x604)).mov(ax, imm16(0x2000)).out(dx, ax).hlt()
  const disk = new Uint8Array(1 << 20)
  disk.set(asm.assemble().bytes)
  disk.set([0x55, 0xaa], 510)
  return disk
}

test.runIf(hasApt).each(sliced([{ snapshot: true }, { snapshot: false }], 2))(
  `a disk keeps what was written over a reset of the machine; snapshot: $snapshot${skipNote(hasApt, 'there is no apt')}`,
  async ({ snapshot }) => {
    const path = join(folder, `${snapshot}.img`)
    writeFileSync(path, markingDisk())
    const args = ['run', path, '--memory', '16M', ...(snapshot ? ['--snapshot'] : [])]
    const { code, stdout, stderr } = await runHere(args, { deadlineMs: 120_000 })
    expect([code, stdout.match(/SeaBIOS/g)?.length, stdout.at(-1)], stderr).toEqual([0, 2, 'M'])
    expect(readFileSync(path)[512]).toBe(snapshot ? 0 : MARK)
  },
  120_000,
)
