import { eax, ebx, ecx, edx, esi, ptr, rdx, rsi } from '@retrap/x86-assembler'
import { BareCpu } from './bare-cpu.ts'

/** What there is to see of a vCPU that has run without a break. */
export interface BusyRun {
  /** Whether the host's event loop has had a turn. */
  readonly yielded: boolean
  /** Instructions, and those of them that compiled code has executed. */
  readonly retired: number
  readonly executed: number
  readonly units: number
  readonly failures: number
  readonly largestBytes: number
  /** Milliseconds until compiled code had executed something. */
  readonly enteredAfterMs: number
  /** The longest time that the vCPU has stood still from where code was hot to where its unit was in the table. */
  readonly longestWaitMs: number
}

const INSTRUCTIONS = 20_000_000

/** Runs a vCPU in a loop that never goes back to the event loop, with the JIT's defaults. */
export function runBusily(): BusyRun {
  let yielded = false
  const timer = setTimeout(() => (yielded = true), 0)
  let largestBytes = 0
  const pc = new BareCpu({ jit: { onCode: ({ module }) => (largestBytes = Math.max(largestBytes, module.length)) } })
  pc.program((asm) => {
    const [outer, inner] = [asm.label('outer'), asm.label('inner')]
    asm.mov(esi, 0x1_0000).bind(outer).mov(ecx, 1000).bind(inner)
    for (let i = 0; i < 40; i++) {
      asm
        .mov(edx, ptr(rsi, { disp: 8 * i }))
        .lea(eax, ptr(rdx, { index: rdx, scale: 4, disp: i }))
        .xor(ebx, eax)
        .mov(ptr(rsi, { disp: 8 * i }), ebx)
    }
    asm.dec(ecx).jne(inner).jmp(outer)
  })
  const start = performance.now()
  let enteredAfterMs = 0
  while (pc.cpu.retired < INSTRUCTIONS) {
    pc.run(10_000)
    if (enteredAfterMs === 0 && pc.engine.jitCounts!.executed > 0) enteredAfterMs = performance.now() - start
  }
  clearTimeout(timer)
  const { executed, units, failures, longestMilliseconds } = pc.engine.jitCounts!
  const { retired } = pc.cpu
  return {
    yielded,
    retired,
    executed,
    units,
    failures,
    largestBytes,
    enteredAfterMs,
    longestWaitMs: longestMilliseconds,
  }
}
