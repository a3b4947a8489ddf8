/** What QEMU's processor makes of cases: `test/native/arm-walks.c` on qemu-system-aarch64, at EL2. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { hasProgram } from '@retrap/tooling/skip'
import { ARM_FETCH, ARM_PAN, ARM_UNPRIVILEGED, ARM_WRITE } from '../../../src/index.ts'
import type { ArmCase } from './cases.ts'

const COMPILER = 'aarch64-linux-gnu-gcc'
const QEMU = 'qemu-system-aarch64'
const FLAGS =
  '-O1 -nostdlib -static -ffreestanding -fno-builtin -fno-stack-protector -fno-pic -no-pie -mgeneral-regs-only -mstrict-align'
const LINK = '-Wl,-Ttext=0x40100000 -Wl,-z,noexecstack -Wl,--build-id=none -Wl,--no-warn-rwx-segments'
const MACHINE =
  '-M virt,virtualization=on,gic-version=3 -cpu max -m 512M -display none -serial none -monitor none -semihosting-config enable=on,target=native'

/** Whether compiler and machine are there. */
export const hasQemu: boolean = hasProgram(COMPILER) && hasProgram(QEMU)

/** What became of one access. */
export interface Answer {
  /** A fault of stage 1, an abort of stage 2, or neither (a defect of the case). */
  readonly kind: 'stage 1' | 'stage 2' | 'other'
  readonly esr: number
  readonly ifsr: number
  readonly far: bigint
  /** The faulting page's intermediate address: HPFAR's. */
  readonly page: number
  /** Entries afterwards, in the case's order. */
  readonly entries: readonly bigint[]
}

const ENTRIES = 8
const CASE_BYTES = (12 + ENTRIES * 2) * 8
const ANSWER_BYTES = (5 + ENTRIES) * 8

const HCR_VM = 1n
const HCR_RW = 1n << 31n
/** SPSR: interrupts masked; EL1h, Supervisor. */
const MASKED = 0x1c0n
const PAN = 1n << 22n

const pair = (lo: number, hi: number): bigint => (BigInt(hi) << 32n) | BigInt(lo)

function encode(each: ArmCase, into: Buffer, at: number): void {
  const { registers: r, access, el0 } = each
  const narrow = !r.aarch64
  const page = BigInt(narrow ? 0x1000 : 0)
  const code = each.code + page
  const stub = ((access & ARM_WRITE) !== 0 ? 1n : 0n) + ((access & ARM_UNPRIVILEGED) !== 0 && !el0 ? 2n : 0n)
  const stubs = code + (narrow ? 0x20n : 0x800n)
  const mode = narrow ? (el0 ? 0x10n : 0x13n) : el0 ? 0n : 5n
  const words = [
    BigInt(r.sctlr),
    pair(r.tcrLo, r.tcrHi),
    pair(r.ttbr0Lo, r.ttbr0Hi),
    pair(r.ttbr1Lo, r.ttbr1Hi),
    pair(r.mairLo, r.mairHi),
    BigInt(r.dacr),
    each.va,
    MASKED | mode | ((access & ARM_PAN) !== 0 ? PAN : 0n),
    (access & ARM_FETCH) !== 0 ? each.va : stubs + stub * 8n,
    HCR_VM | (narrow ? 0n : HCR_RW),
    code,
    each.format === 'short' ? 4n : 8n,
    ...each.entries.flatMap(({ address, value }) => [BigInt(address), value]),
  ]
  words.forEach((word, index) => into.writeBigUInt64LE(BigInt.asUintN(64, word), at + index * 8))
}

/**
 * Runs cases one after another in one machine.
 *
 * @throws Error if the machine does not end by itself, with its output
 */
export function askQemu(cases: readonly ArmCase[]): Answer[] {
  const folder = mkdtempSync(join(tmpdir(), 'retrap-walks-'))
  try {
    const native = fileURLToPath(new URL('../../native/', import.meta.url))
    const program = join(folder, 'walks')
    const sources = ['arm-walks.c', 'arm-walks.s'].map((name) => join(native, name))
    execFileSync(COMPILER, [...FLAGS.split(' '), ...LINK.split(' '), '-o', program, ...sources])
    const input = Buffer.alloc(64 + cases.length * CASE_BYTES)
    input.writeBigUInt64LE(BigInt(cases.length), 0)
    cases.forEach((each, index) => encode(each, input, 64 + index * CASE_BYTES))
    writeFileSync(join(folder, 'cases.bin'), input)
    const { status, stderr } = spawnSync(
      QEMU,
      [...MACHINE.split(' '), '-kernel', program, '-device', 'loader,file=cases.bin,addr=0x41000000,force-raw=on'],
      { cwd: folder, timeout: 100_000, encoding: 'utf8', killSignal: 'SIGKILL' },
    )
    if (status !== 0) throw new Error(`${QEMU} did not end (${status}): ${stderr}`)
    const answers = readFileSync(join(folder, 'answers.bin'))
    return cases.map((each, index) => decode(each, answers, index * ANSWER_BYTES))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const KINDS = ['stage 1', 'stage 2', 'other'] as const

function decode(each: ArmCase, from: Buffer, at: number): Answer {
  const word = (index: number): bigint => from.readBigUInt64LE(at + index * 8)
  return {
    kind: KINDS[Number(word(0))] ?? 'other',
    esr: Number(word(1) & 0xffff_ffffn),
    ifsr: Number(word(2)),
    far: word(3),
    page: Number(word(4) >> 4n) * 4096,
    entries: each.entries.map((_, index) => word(5 + index)),
  }
}
