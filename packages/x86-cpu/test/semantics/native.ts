import { spawnSync } from 'node:child_process'
import { buildForHost, hostCpu } from '@retrap/tooling/host-cpu'
import type { CodeInfo } from '@retrap/x86-decoder'
import { modesOf } from './encode.ts'
import * as L from './layout.ts'
import { selectorOf } from './layout.ts'
import type { Batch, Mode } from './layout.ts'

const SOURCE = new URL('./native.c', import.meta.url).pathname
/** Position-independent, so that nothing lies in the low 4 GiB. */
const OPTIONS = ['-O2', '-fno-stack-protector', '-fPIE', '-pie', '-Wall', '-Wextra', '-Werror']
/** A batch takes less than a second, unless the host delays bus locks; native.c ends itself before. */
const BATCH_MS = 70_000
const PROBE_MS = 5000
const BREAKPOINT = 3

/** What needs no flag: of every x86-64 processor, or a no-op or #UD where it is absent. */
const BASELINE = new Set([
  '',
  'CET_IBT',
  'SVM',
  'VMX',
  'SMAP',
  'SSE',
  'SSE2',
  'FXSR',
  'MMX',
  'FPU',
  'MSR',
  'PAUSE',
  'SEP',
  'SYSCALL',
  'TSC',
])

/** What native.c can be told to do without, as hosts do. */
export type HostPart = `${Mode}-bit code` | 'AVX' | 'FSGSBASE'

/** The program that runs cases on the host's CPU. */
export interface NativeCpu {
  /** As CPUID spells it. */
  readonly vendor: string
  /** Modes in which the host runs code. */
  readonly modes: readonly Mode[]
  /** Whether a LOCK across a cache line may take seconds, as where the host of a virtual machine traps bus locks. */
  readonly trapsBusLocks: boolean
  /** Whether it has a CPUID feature, as x86-decoder names them. */
  has(feature: string): boolean
  /** Whether it can run a form, in one mode at least. */
  runs(form: CodeInfo): boolean
  /** @returns `batch.count` times OUT_BYTES */
  run(batch: Batch): Uint8Array
}

/**
 * Builds native.c, once per version of it, or says why that cannot be.
 *
 * @param without - what the host is to appear without
 */
export function nativeCpu(without: readonly HostPart[] = []): NativeCpu | string {
  const cpu = hostCpu()
  // qemu-user does not do instead: it ends in an assertion of its own at what the program does with signal frames.
  if (typeof cpu === 'string') return cpu
  const program = buildForHost(SOURCE, OPTIONS)
  if (typeof program === 'string') return program
  const execute = (batch: Batch, timeout: number): Uint8Array => runProgram(program.path, without, batch, timeout)
  // A kernel may be without local descriptor tables, and without what 32-bit programs need; a sandbox without either.
  const modes = L.MODES.filter((mode) => runsCode(mode, execute))
  if (!modes.includes(64)) return 'the host does not let a program run code by a signal’s frame'
  const has = (feature: string): boolean => feature.split('+').every((one) => BASELINE.has(one) || cpu.has(one))
  return {
    vendor: cpu.vendor,
    modes,
    trapsBusLocks: cpu.has('BUS_LOCK_DETECT'),
    has,
    runs: (form) => has(form.feature) && modesOf(form).some((mode) => modes.includes(mode)),
    run: (batch) => execute(batch, BATCH_MS),
  }
}

/**
 * Whether the host runs code of a mode, tried in a process of its own. The code is 40h, which increments EAX or AX, and is a
 * prefix in 64-bit mode; then INT3.
 */
function runsCode(mode: Mode, execute: (batch: Batch, timeout: number) => Uint8Array): boolean {
  const input = new Uint8Array(L.IN_BYTES)
  const view = new DataView(input.buffer)
  const data = mode === 16 ? L.DATA_16 : L.USER_DATA
  view.setUint32(L.IN_RIP, selectorOf(mode) === L.CS_16 ? 0 : L.CODE, true)
  view.setUint32(L.IN_CS, selectorOf(mode) | (data << 16), true)
  view.setUint32(L.IN_RFLAGS, 0x202, true)
  view.setUint32(L.IN_GPR, 0xffff, true)
  // The state after FNINIT and a reset: FCW and MXCSR.
  view.setUint16(L.IN_FX, 0x37f, true)
  view.setUint32(L.IN_FX + 24, 0x1f80, true)
  try {
    const output = execute({ code: Uint8Array.of(0x40), count: 1, cases: input }, PROBE_MS)
    const result = new DataView(output.buffer, output.byteOffset, L.OUT_BYTES)
    return (
      result.getUint32(L.OUT_VECTOR, true) === BREAKPOINT &&
      result.getUint32(L.OUT_CS, true) === selectorOf(mode) &&
      result.getUint32(L.OUT_GPR, true) === { 16: 0, 32: 0x1_0000, 64: 0xffff }[mode]
    )
  } catch {
    return false
  }
}

function runProgram(program: string, without: readonly HostPart[], batch: Batch, timeout: number): Uint8Array {
  const header = Buffer.alloc(16)
  header.writeUInt32LE(batch.code.length, 4)
  header.writeUInt32LE(batch.count, 8)
  const expected = batch.count * L.OUT_BYTES
  const result = spawnSync(program, without, {
    input: Buffer.concat([header, batch.code, batch.cases]),
    maxBuffer: expected + 0x1000,
    timeout,
  })
  if (result.status !== 0 || result.stdout.length !== expected) {
    const how = result.error?.message ?? result.signal ?? `status ${result.status}`
    throw new Error(
      `the reference ended with ${how}, ${result.stdout.length} of ${expected} bytes: ${result.stderr.toString()}`,
    )
  }
  return result.stdout
}
