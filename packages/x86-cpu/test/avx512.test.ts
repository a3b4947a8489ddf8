/** Instructions of AVX-512 in both ways, beside the processor under us. */
import { skipNote } from '@retrap/tooling/skip'
import * as x86 from '@retrap/x86-assembler'
import { Assembler } from '@retrap/x86-assembler'
import { codes, OperandKind, type CodeInfo } from '@retrap/x86-decoder'
import fc from 'fast-check'
import { loadInstructions } from '@retrap/x86-cpu'
import { beforeAll, expect, test } from 'vitest'
import { runBothWays } from './support/both-ways.ts'
import { enableAvx512, nativeCode, type NativeCode } from './support/native-code.ts'

const MODEL = 'everything,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl'
const IN = 0x6_0000
const OUT = 0x10_0000

const native = nativeCode()
const lack = typeof native === 'string' ? native : ''

beforeAll(() => loadInstructions(MODEL))

/** Names of what the assembler has, by which a test draws instructions. */
type Drawn = Record<string, (...operands: unknown[]) => Assembler>

/** What a routine does: it reads at RSI, and each of the named parts writes as many bytes at RDI, in turns. */
interface Routine {
  readonly code: (asm: Assembler) => void
  readonly parts: readonly string[]
  readonly partBytes: number
  readonly turns: number
}

/** Executes a routine in both of our ways and on the host; the parts that differ, each with what was expected. */
function differences({ code, parts, partBytes, turns }: Routine, input: Uint8Array): readonly string[] {
  const bytes = parts.length * partBytes * turns
  const routine = new Assembler()
  code(routine)
  const theirs = (native as NativeCode)(routine.ret().assemble().bytes, input, bytes)
  const [pc] = runBothWays({
    cpu: MODEL,
    code: (asm) => {
      code(asm.mov(x86.rsi, IN).mov(x86.rdi, OUT))
      asm.hlt()
    },
    prepare: (cpu) => {
      enableAvx512(cpu)
      cpu.load(IN, input)
    },
  })
  const ours = pc.memory.u8.subarray(pc.host.ramMa + OUT)
  const hex = (all: Uint8Array, i: number): string =>
    Buffer.from(all.subarray(partBytes * i, partBytes * (i + 1))).toString('hex')
  return Array.from({ length: parts.length * turns }, (_, i) => i)
    .filter((i) => hex(ours, i) !== hex(theirs, i))
    .map(
      (i) => `${parts[i % parts.length]}: ${hex(ours, i)} for ${hex(theirs, i)}, turn ${Math.floor(i / parts.length)}`,
    )
}

const registers = x86 as unknown as Readonly<Record<string, unknown>>
const places = x86 as unknown as Readonly<Record<string, (base: unknown, options: { disp: number }) => unknown>>
const PLACES: Readonly<Record<number, string>> = { 1: 'byte', 2: 'word', 4: 'dword', 8: 'qword' }

const NUMBERS: Readonly<Record<number, number>> = {
  [OperandKind.MASK_REG]: 3,
  [OperandKind.MASK_VVVV]: 1,
  [OperandKind.MASK_RM]: 2,
  [OperandKind.MASK_RM_REG]: 2,
}

/** An instruction of a form: the destination is K3 or RAX, sources are K1, K2 and RAX, or memory at RDI. */
function draw(asm: Assembler, info: CodeInfo, inMemory: boolean, immediate: number): void {
  const operands = info.operands.map(({ kind, size, memorySize }) => {
    const isMemory = kind === OperandKind.MEM || (inMemory && kind === OperandKind.MASK_RM)
    if (isMemory) return places[PLACES[memorySize]!]!(x86.rdi, { disp: 24 })
    if (NUMBERS[kind] !== undefined) return registers[`k${NUMBERS[kind]}`]
    return kind === OperandKind.IMM8 ? immediate : size === 8 ? x86.rax : x86.eax
  })
  ;(asm as unknown as Drawn)[info.mnemonic.toLowerCase()]!(...operands)
}

const onMasks = codes.filter((info) => info.encoding === 'vex' && info.mnemonic.startsWith('K'))
/** Bytes of an instruction's output. */
const MASK_OUTPUT = 32

const masks = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(0n, 0xffn, 0xffffn, 0xffff_ffffn, 2n ** 64n - 1n, 0xff00n, 0x1_0000n),
)

test.skipIf(lack !== '')(`masks${skipNote(lack === '', lack)}`, () => {
  const forms = onMasks.flatMap((info) =>
    (info.memory === 'any' ? [true, false] : [info.memory === 'only']).map((inMemory) => ({ info, inMemory })),
  )
  expect(forms.length).toBeGreaterThan(60)
  fc.assert(
    fc.property(
      fc.array(fc.tuple(masks, masks, masks), { minLength: 12, maxLength: 12 }),
      fc.integer({ min: 0, max: 255 }),
      (cases, wide) => {
        const routine: Routine = {
          parts: forms.map(({ info, inMemory }) => `${info.form}${inMemory ? ', memory' : ''}`),
          partBytes: MASK_OUTPUT,
          turns: cases.length,
          code: (asm) => {
            asm.mov(x86.ecx, cases.length)
            const next = asm.here('next')
            for (const [i, { info, inMemory }] of forms.entries()) {
              asm
                .kmovq(x86.k1, x86.qword(x86.rsi))
                .kmovq(x86.k2, x86.qword(x86.rsi, { disp: 8 }))
                .kmovq(x86.k3, x86.qword(x86.rsi, { disp: 16 }))
                .mov(x86.rax, x86.qword(x86.rsi, { disp: 16 }))
                .mov(x86.qword(x86.rdi, { disp: 24 }), x86.rax)
                .cmp(x86.rax, x86.qword(x86.rsi))
              draw(asm, info, inMemory, i % 3 === 0 ? wide : wide % (8 * info.operands[0]!.size))
              asm
                .pushfq()
                .kmovq(x86.qword(x86.rdi), x86.k3)
                .mov(x86.qword(x86.rdi, { disp: 8 }), x86.rax)
                .pop(x86.rax)
                .and(x86.eax, 0x8d5)
                .mov(x86.qword(x86.rdi, { disp: 16 }), x86.rax)
                .add(x86.rdi, MASK_OUTPUT)
            }
            asm
              .add(x86.rsi, 8 * cases[0]!.length)
              .dec(x86.ecx)
              .jnz(next)
          },
        }
        expect(differences(routine, new Uint8Array(BigUint64Array.from(cases.flat()).buffer)).slice(0, 5)).toEqual([])
      },
    ),
    { numRuns: 3, endOnFailure: true },
  )
})
