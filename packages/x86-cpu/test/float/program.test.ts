import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { dword, rax, rdi, rsp } from '@retrap/x86-assembler'
import { sliceTests } from '@retrap/tooling/slice'
import { describe, expect } from 'vitest'
import { BareCpu } from '../support/bare-cpu.ts'
import { hostMissing, hostNote } from './processor.ts'

const test = sliceTests(3)

const SOURCE = join(import.meta.dirname, 'program.c')
const PROGRAM = 0x1_0000
const RESULTS = 0x4_0000
const RESULT_COUNT = 64

/** One section, the entry point first. */
const LINKER_SCRIPT = `SECTIONS {
  . = ${PROGRAM};
  .all : { *(.text.entry) *(.text*) *(.rodata*) *(.data*) *(.bss*) *(COMMON) }
  /DISCARD/ : { *(.eh_frame*) *(.note*) *(.comment*) }
}`

/** The program as a flat image for {@link PROGRAM}, and its results on the host. */
function build(optimisation: string): { readonly image: Uint8Array; readonly expected: BigUint64Array } {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-program-'))
  const at = (name: string): string => join(folder, name)
  writeFileSync(at('flat.ld'), LINKER_SCRIPT)
  const common = [
    '-w',
    optimisation,
    '-ffp-contract=off',
    '-fno-math-errno',
    '-fno-stack-protector',
    '-fcf-protection=none',
    SOURCE,
  ]
  const bare = [
    '-ffreestanding',
    '-nostdlib',
    '-static',
    '-fno-pic',
    '-fno-pie',
    '-no-pie',
    '-mno-red-zone',
    '-fno-asynchronous-unwind-tables',
  ]
  execFileSync('gcc', [
    ...common,
    ...bare,
    '-Wl,--build-id=none',
    '-Wl,--oformat=binary',
    '-Wl,-e,entry',
    '-T',
    at('flat.ld'),
    '-o',
    at('image'),
  ])
  execFileSync('gcc', [...common, '-DHOST', '-o', at('host')])
  const results = new Uint8Array(execFileSync(at('host')))
  return {
    image: new Uint8Array(readFileSync(at('image'))),
    expected: new BigUint64Array(results.buffer.slice(results.byteOffset, results.byteOffset + 8 * RESULT_COUNT)),
  }
}

describe.skipIf(hostMissing !== undefined)(`compiled floating-point code${hostNote}`, () => {
  test.each(['-O0', '-O2', '-O3'])('built with %s gives what it gives on the host', (optimisation) => {
    const { image, expected } = build(optimisation)
    const pc = new BareCpu()
    pc.load(PROGRAM, image)
    pc.program((asm) => {
      // As a kernel leaves the units for a new process.
      asm.fninit()
      asm.mov(dword(rsp, { disp: -8 }), 0x1f80).ldmxcsr(dword(rsp, { disp: -8 }))
      asm.mov(rdi, RESULTS).mov(rax, PROGRAM).call(rax).hlt()
    })
    let exit = pc.run(1_000_000)
    for (let i = 0; i < 20 && exit.reason === 'budget'; i++) exit = pc.run(1_000_000)
    expect(exit.reason).toBe('hlt')
    const results = Array.from(expected, (_, i) => pc.read64(RESULTS + 8 * i).toString(16))
    expect(results).toEqual(Array.from(expected, (value) => value.toString(16)))
  })
})
