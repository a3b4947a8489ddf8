/** The ways between processor modes, on an independent machine: QEMU's. */
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hasProgram, skipNote } from '@retrap/tooling/skip'
import * as x86 from '@retrap/x86-assembler'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { activateLongMode, endFirmware, enterFlat, FIRMWARE_BASE, FIRMWARE_BYTES, type LongMode } from './index.ts'

const QEMU = 'qemu-system-x86_64'
const hasQemu = hasProgram(QEMU)
const skipped = skipNote(hasQemu, 'qemu-system-x86_64 is not installed')

const RESULTS = 0xe9
const EXIT = 0x501
const STACK = 0x7000
const TABLES = 0x1_0000
const MSR_EFER = 0xc000_0080

/** The words that a program leaves with `put`, which sends EAX. */
function wordsOf(program: (asm: x86.Assembler, put: () => void) => void): number[] {
  const asm = new x86.Assembler({ bits: 16, address: FIRMWARE_BASE })
  enterFlat(asm, STACK)
  program(asm, () => {
    asm.mov(x86.dx, RESULTS)
    for (let byte = 0; byte < 4; byte++) asm.out(x86.dx, x86.al).shr(x86.eax, 8)
  })
  asm.mov(x86.dx, EXIT).out(x86.dx, x86.al)
  endFirmware(asm)
  const { bytes } = asm.assemble()
  expect(bytes).toHaveLength(FIRMWARE_BYTES)
  const folder = temporaryFolder('guest-code')
  const [image, output] = [join(folder, 'image'), join(folder, 'output')]
  writeFileSync(image, bytes)
  const options = ['-accel', 'tcg', '-cpu', 'max', '-m', '16', '-display', 'none', '-no-reboot', '-bios', image]
  const devices = [
    ...['-chardev', `file,id=results,path=${output}`, '-device', `isa-debugcon,iobase=${RESULTS},chardev=results`],
    ...['-device', `isa-debug-exit,iobase=${EXIT},iosize=1`],
  ]
  const { status, stderr } = spawnSync(QEMU, [...options, ...devices], { encoding: 'utf8', timeout: 100_000 })
  expect([stderr, (status ?? 0) & 1]).toEqual(['', 1])
  const found = readFileSync(output)
  return Array.from({ length: found.length / 4 }, (_, i) => found.readUInt32LE(4 * i))
}

test.skipIf(!hasQemu)(`a firmware image is in flat 32-bit code, with its stack, and reaches 4 GiB${skipped}`, () => {
  const registers: readonly x86.SegmentRegister[] = [x86.cs, x86.ds, x86.es, x86.ss, x86.fs, x86.gs]
  const words = wordsOf((asm, put) => {
    asm.mov(x86.eax, x86.esp)
    put()
    for (const register of registers) {
      asm.mov(x86.eax, register)
      put()
    }
    // The reset vector, where the image is at the end of 4 GiB and of 1 MiB: a jump to F000:0000.
    for (const disp of [0xffff_fff0, 0xf_fff0]) {
      asm.mov(x86.eax, x86.dword(disp))
      put()
    }
    asm.mov(x86.eax, x86.cr0)
    put()
  })
  const selectors = [0x08, 0x10, 0x10, 0x10, 0x10, 0x10]
  // PE and ET alone are set beside what reset leaves: CD and NW.
  expect(words).toEqual([STACK, ...selectors, 0x0000_00ea, 0x0000_00ea, 0x6000_0011].map((word) => word >>> 0))
})

test.skipIf(!hasQemu).each<[LongMode, number, number]>([
  [{ tables: TABLES }, 0x20, 0x500],
  [{ tables: TABLES, cr4: 0x2a0, efer: 0x801 }, 0x2a0, 0xd01],
])(`long mode is active, in compatibility mode, by %j${skipped}`, (mode, features, efer) => {
  const words = wordsOf((asm, put) => {
    // One page of 2 MiB below three tables, and one for the code where it is.
    for (const [at, entry] of [
      [TABLES, TABLES + 0x1003],
      [TABLES + 0x1000, TABLES + 0x2003],
      [TABLES + 0x2000, 0x83],
    ] as const) {
      asm.mov(x86.dword(at), entry).mov(x86.dword(at + 4), 0)
    }
    activateLongMode(asm, mode)
    asm.mov(x86.ecx, MSR_EFER).rdmsr()
    put()
    for (const register of [x86.cr0, x86.cr3, x86.cr4]) {
      asm.mov(x86.eax, register)
      put()
    }
  })
  expect(words).toEqual([efer, 0xe000_0011, TABLES, features])
})
