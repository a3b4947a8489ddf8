/** Random system instructions at EL1 and EL0, here and under qemu-system-aarch64. `native/el1-cases.s` executes them. */
import { fileURLToPath } from 'node:url'
import { formatA64 } from '@retrap/arm-decoder'
import { MachineMemory } from '@retrap/memory'
import { assemblePayload, BOARD_RAM, PAYLOAD, runPayload } from '@retrap/tooling/arm-payload'
import { ArmCpu, ArmEngine, FlatHost, KEY_GUARDED, STATUS_DONE, STATUS_UNHANDLED } from '../../src/index.ts'
import type { ArmTranslation } from '../../src/index.ts'
import type { Random } from './compare-instructions.ts'
import { templates, type Case } from './el1-templates.ts'

const RAM_BYTES = 64 << 20
const CASES = 0x4030_0000
const CASE_BYTES = 128
const RESULTS = 0x4040_0000
const RESULT_BYTES = 128
const SOURCE = fileURLToPath(new URL('../native/el1-cases.s', import.meta.url))

/** More have no room. */
export const MOST_CASES: number = (RESULTS - CASES) / CASE_BYTES - 1

/** SVC #0xabc, which follows each case. */
const END = 0xd401_5781

const NAMES = [
  'vector',
  'sp_el1',
  'sp_el0',
  'pstate',
  'esr',
  'elr',
  'spsr',
  'far',
  'x0',
  'x1',
  'x2',
  'x3',
  'sctlr',
] as const

/** QEMU clears it on an exception; the pseudocode of `AArch64.TakeException` leaves it as it is. */
const PSTATE_DIT = 1n << 24n

const PSTATE_PAN = 1n << 22n
const PSTATE_BTYPE = 3n << 10n

/** Where QEMU 7.2 does otherwise than the manual says. */
const DIFFERENCES: readonly {
  /** Whether it is so: of a case, a value, what QEMU has and what we have. */
  readonly isOne: (name: string, value: string, theirs: bigint, ours: bigint) => boolean
  /** What the manual says. */
  readonly because: string
}[] = [
  {
    isOne: (name) => /(?:dbgclaim|dbgprcr|dbgauthstatus|dbgdtr|osdtr|oseccr)/.test(name),
    because: 'D24.3: the debug registers of Armv8.0 are all there; QEMU leaves these out.',
  },
  {
    isOne: (name, value) => name.endsWith('mdccint_el1') && value === 'x0',
    because: 'MDCCINT_EL1 keeps TX and RX; QEMU keeps nothing.',
  },
  {
    isOne: (name, value, theirs, ours) =>
      name === 'eret' && (value === 'spsr' || value === 'pstate') && (theirs ^ ours) === PSTATE_PAN,
    because: 'SetPSTATEFromPSR: PSTATE.PAN is restored by an illegal return too.',
  },
  {
    isOne: (name, value, theirs, ours) =>
      name.endsWith('to a landing') && value === 'spsr' && ours === (theirs & ~PSTATE_BTYPE),
    because: 'AArch64.TakeException: SPSR.BTYPE may be zero after an SVC, which is behind its landing.',
  },
  {
    isOne: (name, value) => name.endsWith('osdlr_el1') && value === 'x0',
    because: 'OSDLR_EL1: without FEAT_DoubleLock, as ID_AA64DFR0_EL1.DoubleLock says, it is RAZ/WI.',
  },
  {
    isOne: (name, _value) => name === 'ldr through an unaligned stack pointer',
    because: 'D1.3.8: SCTLR_EL1.SA and SA0 enable the check of the stack pointer; QEMU never checks it.',
  },
  {
    isOne: (name, value, theirs) => name === 'msr of an immediate' && value === 'esr' && theirs >> 26n === 0x18n,
    because:
      'MSR (immediate): AArch64.SystemAccessTrap has op1 in bits 16:14 and op2 in bits 19:17; QEMU exchanges them.',
  },
]

function encode(cases: readonly Case[]): Buffer {
  const bytes = Buffer.alloc(64 + cases.length * CASE_BYTES)
  bytes.writeUInt32LE(cases.length, 0)
  for (const [i, each] of cases.entries()) {
    const at = 64 + i * CASE_BYTES
    for (let j = 0; j < 4; j++) bytes.writeUInt32LE((each.words[j] ?? END) >>> 0, at + 4 * j)
    const values = [
      BigInt(each.pstate >>> 0),
      ...each.x,
      BigInt(each.sctlr >>> 0) | (BigInt(each.sctlrHigh) << 32n),
      BigInt(each.cpacr),
      each.spEl0,
      each.spEl1,
      BigInt(each.cntkctl),
    ]
    for (const [j, value] of values.entries()) bytes.writeBigUInt64LE(BigInt.asUintN(64, value), at + 16 + 8 * j)
  }
  return bytes
}

/** The cases on QEMU's processor. */
function askQemu(program: Buffer, cases: Buffer, resultBytes: number): Buffer {
  const bytes = Buffer.alloc(resultBytes)
  const inputs = [
    { address: PAYLOAD, bytes: program },
    { address: CASES, bytes: cases },
  ]
  runPayload('', RAM_BYTES >> 20, inputs, { address: RESULTS, bytes })
  return bytes
}

function askOurs(program: Buffer, cases: Buffer, resultBytes: number, compiles: boolean): Buffer {
  const memory = MachineMemory.create({ bytes: 160 << 20 })
  class Host extends FlatHost {
    /** With the MMU on, all pages are guarded. */
    override translate(lo: number, hi: number, access: number, into: ArmTranslation): boolean {
      into.key = (cpu.registers.get('sctlr_el1') & 1n) === 0n ? 0 : KEY_GUARDED
      return super.translate(lo, hi, access, into)
    }
    readSystem(encoding: number): number {
      // Timers.
      return (encoding & 0x7f80) === 0x5f00 ? STATUS_DONE : STATUS_UNHANDLED
    }
    writeSystem(encoding: number): number {
      return (encoding & 0x7f80) === 0x5f00 && (encoding & 0x78) !== 0 ? STATUS_DONE : STATUS_UNHANDLED
    }
  }
  const host = new Host(memory, BOARD_RAM, RAM_BYTES)
  const engine = new ArmEngine(memory, {
    poison: true,
    ...(compiles && { jit: { threshold: 2, fewestInstructions: 1 } }),
  })
  const cpu: ArmCpu = new ArmCpu(engine, host)
  host.load(PAYLOAD, program)
  host.load(CASES, cases)
  cpu.registers.reset()
  cpu.registers.pc = BigInt(PAYLOAD)
  const exit = cpu.run(10_000 * (cases.length / CASE_BYTES))
  if (exit.reason === 'error') throw exit.error
  const where = `at ${cpu.registers.pc.toString(16)} after ${Number(cpu.registers.x(29)) - RESULTS} bytes of results`
  if (exit.reason !== 'exception') throw new Error(`it ended by ${exit.reason} ${where}`)
  if (exit.syndrome !== 0x5a00_0000) throw new Error(`it ended by exception ${exit.syndrome.toString(16)} ${where}`)
  return Buffer.from(memory.read(host.ramAddress(RESULTS), resultBytes))
}

export function drawCases(count: number, random: Random): Case[] {
  const all = templates()
  return Array.from({ length: count }, (_, i) => all[i % all.length]!(random))
}

const text = ({ words }: Case): string => words.map((word) => formatA64(word, { address: 0n }) ?? '?').join('; ')

/** Compares cases. @returns where they differ */
export function compareCases(cases: readonly Case[], compiles: boolean): string[] {
  const program = assemblePayload(SOURCE)
  const input = encode(cases)
  const bytes = cases.length * RESULT_BYTES
  const theirs = askQemu(program, input, bytes)
  const ours = askOurs(program, input, bytes, compiles)
  return cases.flatMap((each, i) => {
    const found: string[] = []
    for (const [j, name] of NAMES.entries()) {
      const mask = name === 'x0' ? each.compared : name === 'pstate' ? ~PSTATE_DIT : -1n
      const [a, b] = [ours, theirs].map((from) => from.readBigUInt64LE(i * RESULT_BYTES + 8 * j) & mask)
      if (a !== b && !DIFFERENCES.some((known) => known.isOne(each.name, name, b!, a!)))
        found.push(`${name} ${a!.toString(16)}, not ${b!.toString(16)}`)
    }
    if (found.length === 0) return []
    const state = `pstate ${(each.pstate >>> 0).toString(16)} sctlr ${(each.sctlr >>> 0).toString(16)} x ${each.x.map((x) => x.toString(16)).join(' ')}`
    return [`${each.name}: ${text(each)} (${state}): ${found.join('; ')}`]
  })
}
