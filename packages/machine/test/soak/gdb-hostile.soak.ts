// A hostile client of gdb's protocol on a machine that runs: it writes registers and memory, sets breakpoints and lets the
// machine go on, in mutated packets. It may break its guest. It neither holds nor ends the host, and another client follows.
import { setImmediate as turn } from 'node:timers/promises'
import { framePacket, GdbSession } from '@retrap/gdb'
import type { Rng, Soak } from '@retrap/tooling/soak'
import { dword, eax, ebx, ecx, esp } from '@retrap/x86-assembler'
import { createPc, type Pc } from '../../src/index.ts'
import { BASE, multibootKernel } from '../support/kernels.ts'

const DATA = 0x18_0000
const REGISTERS = 120
/** Host time that one packet may take. */
const MOST_MS = 3000

const kernel = multibootKernel((asm) => {
  const [store, again] = [asm.label(), asm.label()]
  asm.mov(esp, 0x20_0000).bind(again).inc(ecx).mov(eax, ecx).call(store).jmp(again)
  asm
    .org(BASE + 0x1000)
    .bind(store)
    .mov(dword(DATA), eax)
    .inc(ebx)
    .ret()
})

const hex = (value: bigint | number): string => value.toString(16)

function address(rng: Rng): string {
  const near = [BASE, BASE + 0x1000, DATA, 0, 0xfee0_0000, 0xfff_fffc]
  return hex(rng.chance(4, 5) ? rng.pick(near) + rng.below(64) : rng.u64())
}

const bytes = (rng: Rng, count: number): string => Buffer.from(rng.bytes(count)).toString('hex')

function packet(rng: Rng): string {
  switch (rng.below(14)) {
    case 0:
      return 'vCont;c'
    case 1:
      return rng.pick(['vCont;s:1;c', 's', 'S0b', 'C05', 'c', 'vCont;C0b'])
    case 2:
      return `c${address(rng)}`
    case 3:
      return rng.pick([
        'g',
        '?',
        'qC',
        'qfThreadInfo',
        'qXfer:features:read:target.xml:0,4000',
        'vCont?',
        'qqemu.sstep',
      ])
    case 4:
      return `p${hex(rng.below(REGISTERS))}`
    case 5:
    case 6: {
      const size = rng.pick([8, 4, 10, 16])
      return `P${hex(rng.below(REGISTERS))}=${rng.chance() ? bytes(rng, size) : '01'.repeat(size)}`
    }
    case 7:
      return `G${bytes(rng, rng.below(700))}`
    case 8:
      return `m${address(rng)},${hex(rng.pick([4, 64, 0x4000, 0xffff_ffff]))}`
    case 9: {
      const count = rng.below(40)
      return `M${address(rng)},${hex(count)}:${bytes(rng, count)}`
    }
    case 10:
    case 11:
      return `${rng.pick(['Z', 'Z', 'Z', 'z'])}${rng.below(6)},${address(rng)},${hex(rng.pick([1, 4, 8, 0x1000, 0x10_0000, 0]))}`
    case 12: {
      const command = rng.pick([
        'help',
        'catch #PF #GP 6 triple',
        'uncatch triple',
        'walk 0x1000',
        'p2m 4096',
        'pending',
        'interrupts',
      ])
      return `qRcmd,${Buffer.from(command).toString('hex')}`
    }
    default:
      return rng.pick(['Hg0', 'Hc-1', 'Qqemu.PhyMemMode:1', 'Qqemu.PhyMemMode:0', 'Qqemu.sstep=0x1', 'QStartNoAckMode'])
  }
}

function mutate(rng: Rng, text: string): string {
  const characters = [...text]
  while (rng.chance(1, 4))
    characters.splice(rng.below(characters.length + 1), rng.below(2), String.fromCharCode(rng.below(256)))
  return characters.join('')
}

async function attack(pc: Pc, rng: Rng): Promise<string | undefined> {
  const target = await pc.gdbTarget({ kill: () => {} })
  let over = false
  const session = new GdbSession(target, { write: () => {}, end: () => (over = true) })
  const count = rng.below(60)
  for (let i = 0; i < count && !over; i++) {
    const text = mutate(rng, packet(rng))
    rng.note(`packet ${i}`, () => JSON.stringify(text))
    const begun = performance.now()
    session.receive(framePacket(text))
    for (let turns = rng.below(4); turns >= 0; turns--) await turn()
    if (rng.chance(1, 3)) session.receive(Uint8Array.of(3))
    await turn()
    const took = performance.now() - begun
    if (took > MOST_MS) return `${JSON.stringify(text)} has taken ${took.toFixed(0)} ms`
  }
  if (!over) session.closed()
  return undefined
}

/** Mutated packets on running machines. */
export const soak: Soak = {
  name: 'gdb-hostile',
  count: 200,
  async step(rng) {
    const pc = await createPc({
      memoryBytes: 4 << 20,
      codeCacheBytes: 4 << 20,
      kernel: kernel.slice(),
      jit: rng.chance(),
      clock: rng.pick(['real', 'deterministic']),
    })
    const abort = new AbortController()
    const running = pc.run({ signal: abort.signal })
    try {
      for (let client = rng.below(3); client >= 0; client--) {
        const trouble = await attack(pc, rng)
        if (trouble !== undefined) return trouble
      }
      let answer = ''
      const last = new GdbSession(await pc.gdbTarget({ kill: () => {} }), {
        write: (sent) => (answer += String.fromCharCode(...sent)),
        end: () => {},
      })
      last.receive(framePacket('qC'))
      await turn()
      if (!answer.includes('$QC01#f5')) return `the last client was answered ${JSON.stringify(answer)}`
      last.closed()
    } finally {
      abort.abort()
    }
    const exit = await running
    pc.close()
    return exit.reason === 'internal-error' ? `internal error: ${JSON.stringify(exit)}` : undefined
  },
}
