// Floating point on a bare 64-bit processor: loops of eight instructions of one kind, once with the host's arithmetic (to
// nearest, the precision flag set), once by software (MXCSR or the x87 control word asks for rounding towards zero).
import { type Assembler, ecx, st0, st1, xmm0, xmm1, ymm0, ymm1 } from '@retrap/x86-assembler'
import { S_CR4, S_FCW, S_FPR, S_FTAG_EMPTY, S_MXCSR, S_XCR0, S_XMM } from '../src/state/state-layout.ts'
import { S_ACTIVITY } from '../src/state/system-state.ts'
import { BareCpu } from '../test/support/bare-cpu.ts'

const ROUNDS = 200_000
const UNROLLED = 8
const CR4_OSXSAVE = 1 << 18
const TO_NEAREST = 0x1fa0
const TO_ZERO = 0x7fa0
const X87_TO_NEAREST = 0x37f
const X87_TO_ZERO = 0xf7f

interface Workload {
  readonly name: string
  readonly emit: (asm: Assembler) => void
  /** There is nothing but software. */
  readonly isSoftware?: boolean
}

const WORKLOADS: readonly Workload[] = [
  { name: 'addsd', emit: (asm) => asm.addsd(xmm0, xmm1) },
  { name: 'mulpd', emit: (asm) => asm.mulpd(xmm0, xmm1) },
  { name: 'divps', emit: (asm) => asm.divps(xmm0, xmm1) },
  { name: 'sqrtsd', emit: (asm) => asm.sqrtsd(xmm0, xmm1) },
  { name: 'vaddps', emit: (asm) => asm.vaddps(ymm0, ymm0, ymm1) },
  { name: 'vfmadd231sd', emit: (asm) => asm.vfmadd231sd(xmm0, xmm1, xmm1) },
  { name: 'vfmadd231pd', emit: (asm) => asm.vfmadd231pd(ymm0, ymm1, ymm1) },
  { name: 'vfmadd231ps', emit: (asm) => asm.vfmadd231ps(ymm0, ymm1, ymm1) },
  { name: 'fadd', emit: (asm) => asm.fadd(st0, st1) },
  { name: 'fmul', emit: (asm) => asm.fmul(st0, st1) },
  { name: 'fdiv', emit: (asm) => asm.fdiv(st0, st1), isSoftware: true },
  { name: 'fsin', emit: (asm) => asm.fsin(), isSoftware: true },
]

/** Nanoseconds an instruction, the shortest of several runs. */
function measure(workload: Workload, mxcsr: number): number {
  const pc = new BareCpu()
  pc.program((asm) => {
    const loop = asm.label('loop')
    asm.mov(ecx, ROUNDS)
    asm.bind(loop)
    for (let i = 0; i < UNROLLED; i++) workload.emit(asm)
    asm.dec(ecx).jne(loop).hlt()
  })
  const start = pc.rip
  let best = Infinity
  for (let attempt = 0; attempt < 6; attempt++) {
    const { u32, u64 } = pc.cpu
    u32[S_MXCSR >>> 2] = mxcsr
    u32[S_CR4 >>> 2]! |= CR4_OSXSAVE
    u32[S_XCR0 >>> 2] = 7
    pc.cpu.modeChanged()
    u32[S_FCW >>> 2] = mxcsr === TO_ZERO ? X87_TO_ZERO : X87_TO_NEAREST
    u32[S_FTAG_EMPTY >>> 2] = 0
    for (let i = 0; i < 2; i++) {
      // 1.1, and a little more than 1 as double and as single precision.
      for (let j = 0; j < 4; j++)
        u64[((S_XMM + 64 * i) >>> 3) + j] = i === 0 ? 0x3ff1_9999_9999_999an : 0x3f80_0001_3f80_0001n
      u64[(S_FPR + 16 * i) >>> 3] = 0x8000_0000_0123_4567n
      u32[(S_FPR + 16 * i + 8) >>> 2] = 0x3fff
    }
    // Out of the HLT of the run before.
    u32[S_ACTIVITY >>> 2] = 0
    pc.rip = start
    const began = performance.now()
    let exit = pc.run(1_000_000)
    while (exit.reason === 'budget') exit = pc.run(1_000_000)
    if (exit.reason !== 'hlt') throw new Error(`${workload.name}: ${exit.reason}`)
    best = Math.min(best, performance.now() - began)
  }
  return (best * 1e6) / (ROUNDS * UNROLLED)
}

export function run(): void {
  for (const workload of WORKLOADS) {
    const fast = measure(workload, TO_NEAREST)
    if (workload.isSoftware === true) {
      console.log(`${workload.name}: ${fast.toFixed(1)} ns an instruction, by software`)
      continue
    }
    const slow = measure(workload, TO_ZERO)
    console.log(
      `${workload.name}: ${(slow / fast).toFixed(1)} x software (${fast.toFixed(1)} ns against ${slow.toFixed(1)} ns an instruction)`,
    )
  }
}
