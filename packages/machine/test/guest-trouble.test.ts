/** What a machine sees from outside of a guest that does not go on by itself. */
import { TEST_JIT } from '@retrap/tooling/jit'
import { al, dx } from '@retrap/x86-assembler'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createPc, GuestWatch, type GuestTrouble } from '../src/index.ts'
import { multibootKernel } from './support/kernels.ts'

const PANIC = 'Kernel panic - not syncing: '
const line = fc.string({ unit: 'grapheme-ascii', maxLength: 40 }).filter((text) => !text.includes('panic'))

test('a panic is told once, by its reason, with its line, however its bytes arrive', () => {
  fc.assert(
    fc.property(
      fc.array(line),
      line,
      fc.array(line),
      fc.integer({ min: 1, max: 60 }),
      (before, reason, after, size) => {
        const troubles: GuestTrouble[] = []
        const watch = new GuestWatch((trouble) => troubles.push(trouble))
        const begin = before.map((text) => `${text}\r\n`).join('')
        const end = [...after, `[    6.3] ---[ end ${PANIC}${reason} ]---`, ''].join('\r\n')
        const told = `[    6.2] ${PANIC}${reason}`
        const text = Buffer.from(`${begin}${told}\r\n${end}`, 'latin1')
        for (let at = 0; at < text.length; at += size) watch.printed(text.subarray(at, at + size))
        expect(troubles).toEqual([{ kind: 'panic', message: `The kernel has panicked: ${reason}`, line: told }])
      },
    ),
  )
})

test.each([
  ['HLT with interrupts off', true, (asm) => asm.cli().hlt()],
  ['HLT with interrupts on', false, (asm) => asm.sti().hlt()],
  ['a loop', false, (asm) => asm.cli().in(al, dx).jmp(asm.here())],
] as readonly (readonly [string, boolean, (asm: Parameters<Parameters<typeof multibootKernel>[0]>[0]) => unknown])[])(
  '%s is a halt for good: %s',
  async (_what, expected, build) => {
    const kernel = multibootKernel((asm) => void build(asm))
    const pc = await createPc({ memoryBytes: 16 << 20, cpus: 2, kernel, jit: TEST_JIT })
    await pc.run({ timeoutMs: 200 })
    expect(pc.isHaltedForGood).toBe(expected)
    const troubles: GuestTrouble[] = []
    const watch = new GuestWatch((trouble) => troubles.push(trouble))
    for (let look = 0; look < 4; look++) watch.look(pc.isHaltedForGood)
    expect(troubles.map(({ kind }) => kind)).toEqual(expected ? ['halt'] : [])
    pc.close()
  },
)
