/** What is counted of compiled code: the instructions that it executes, and why it is left. */
import { byte, cl, ecx, ptr, qword, rax, rbx, rcx, rdx, rsi, rsp } from '@retrap/x86-assembler'
import type { Assembler } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import type { ExitReason, JitCounts } from '../../src/index.ts'
import { PAGE_TABLE } from '../support/bare-cpu.ts'
import { bothWays, handler, patiently, runBothWays } from '../support/both-ways.ts'
import type { Program } from '../support/both-ways.ts'
import { EAGER_JIT } from '@retrap/tooling/jit'

const ROUNDS = 100
const DEVICE_PAGE = 0x30
const DEVICE = DEVICE_PAGE << 12
const ABSENT_PAGE = 0x31
const ABSENT = ABSENT_PAGE << 12
const OFTEN = ROUNDS / 2

/** Runs a loop. @param misses - of the TLB, after which accesses are made by calls in place */
function count(
  body: (asm: Assembler) => void,
  prepare?: Program['prepare'],
  misses = 1024,
): JitCounts & { retired: number } {
  const [, { cpu, engine }] = runBothWays({
    jit: { ...EAGER_JIT, misses },
    code: (asm) => {
      const again = asm.label('again')
      asm.fninit().mov(ecx, ROUNDS).bind(again)
      body(asm)
      asm.dec(ecx).jne(again).hlt()
    },
    ...(prepare && { prepare }),
  })
  return { ...engine.jitCounts!, retired: cpu.retired }
}

const device: Program['prepare'] = (pc, at) => {
  pc.host.devices.set(DEVICE_PAGE, { read: () => BigInt(at('next')), write: () => true })
}

/** A device that answers when it is asked a second time. */
const late: Program['prepare'] = (pc) => {
  let asked = 0
  pc.host.devices.set(DEVICE_PAGE, { read: () => (asked++ % 2 === 0 ? undefined : 1n), write: () => true })
}

/** The handler of the page fault brings the page back. */
const paged: Program['prepare'] = (pc) => {
  handler(pc, 14, (asm) =>
    asm
      .mov(qword(PAGE_TABLE + 8 * ABSENT_PAGE), ABSENT | 7)
      .add(rsp, 8)
      .iretq(),
  )
}

/** The handler of the division error steps over DIV, which has three bytes. */
const stepped: Program['prepare'] = (pc) => {
  handler(pc, 0, (asm) => asm.add(qword(rsp), 3).iretq())
}

interface Case {
  readonly why: ExitReason
  readonly what: string
  readonly body: (asm: Assembler) => void
  readonly prepare?: Program['prepare']
  readonly misses?: number
  readonly least?: number
}

const CASES: readonly Case[] = [
  { why: 'system', what: 'WBINVD', body: (asm) => asm.wbinvd() },
  {
    why: 'miss',
    what: 'a device',
    body: (asm) => asm.bind(asm.label('next')).add(rax, qword(DEVICE)),
    prepare: device,
  },
  {
    why: 'device',
    what: 'a jump to what a device says',
    body: (asm) => asm.jmp(qword(DEVICE)).bind(asm.label('next')),
    prepare: device,
    misses: 1,
  },
  { why: 'handler', what: 'a late device', body: (asm) => asm.add(rax, qword(DEVICE)), prepare: late, misses: 1 },
  {
    why: 'fault',
    what: 'a page that is not there',
    body: (asm) =>
      asm
        .mov(qword(PAGE_TABLE + 8 * ABSENT_PAGE), 0)
        .invlpg(ptr(ABSENT))
        .add(rax, qword(ABSENT)),
    prepare: paged,
    misses: 1,
  },
  { why: 'rare', what: 'a division by zero', body: (asm) => asm.xor(rbx, rbx).div(rbx), prepare: stepped },
  {
    why: 'written',
    what: 'a store to the loop itself',
    body: (asm) => {
      // Nearly all of them go to data in its page.
      const patched = asm.label('patched')
      asm
        .lea(rdx, ptr(patched))
        .add(rdx, 2)
        .lea(rsi, ptr(rdx, { disp: 0x200 }))
      asm.test(ecx, 31).cmove(rsi, rdx).mov(byte(rsi), cl).bind(patched).imul(rbx, rbx, 0x1234)
    },
    misses: 1,
    least: 1,
  },
  {
    why: 'computed',
    what: 'a jump to one of two places',
    body: (asm) => {
      const [next, far] = [asm.label('next'), asm.label('far')]
      asm
        .lea(rax, ptr(next))
        .lea(rdx, ptr(far))
        .cmp(ecx, ROUNDS / 2)
        .cmovb(rax, rdx)
        .jmp(rax)
      asm.bind(next).add(rbx, rcx).bind(far)
    },
    least: 1,
  },
]

test.each(CASES)('$why: $what', ({ why, body, prepare, misses, least = OFTEN }) => {
  expect(count(body, prepare, misses).exits[why]).toBeGreaterThanOrEqual(least)
})

test('an access in place leaves no more', () => {
  const { exits } = count((asm) => asm.bind(asm.label('next')).add(rax, qword(DEVICE)), device, 1)
  expect(exits.miss).toBeLessThan(5)
})

test('budget: a turn that ends in a loop', () => {
  const pair = bothWays({
    code: (asm) => {
      const again = asm.label('again')
      asm.bind(again).add(rax, rcx).inc(rcx).jmp(again)
    },
  })
  for (let turn = 0; turn < 20; turn++) for (const pc of pair) patiently(pc, 1000)
  const { exits, executed } = pair[1].engine.jitCounts!
  expect(exits.budget).toBeGreaterThan(15)
  expect(executed).toBeGreaterThan(0.99 * pair[1].cpu.retired)
  expect(executed).toBeLessThan(pair[1].cpu.retired)
})

test('the median wait is not longer than the longest', () => {
  const { medianMilliseconds, longestMilliseconds } = count((asm) => asm.add(rax, rcx))
  expect(medianMilliseconds).toBeGreaterThan(0)
  expect(medianMilliseconds).toBeLessThanOrEqual(longestMilliseconds)
})

test('the time of turns is shared out among compiled code and the interpreter', () => {
  const start = performance.now()
  const counts = count((asm) => asm.add(rax, rcx))
  const elapsed = performance.now() - start
  expect(counts.compiledMilliseconds).toBeGreaterThan(0)
  expect(counts.interpretedMilliseconds).toBeGreaterThan(0)
  expect(counts.compiledMilliseconds + counts.interpretedMilliseconds + counts.milliseconds).toBeLessThan(elapsed)
})
