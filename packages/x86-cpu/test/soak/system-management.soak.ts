import type { Soak } from '@retrap/tooling/soak'
import type { Exit } from '../../src/state/execution.ts'
import { saveVcpu } from '../../src/inspect.ts'
import { EVENT_SMI, S_EVENTS } from '../../src/state/state-layout.ts'
import { RAM_BYTES, type BareCpu } from '../support/bare-cpu.ts'
import { SMBASE, smiHandler } from '../support/smm.ts'
import { drawCase, finish, prepare } from './random-code.soak.ts'

const BUDGET = 3000
/** What SMIs may write of guest RAM: the save area. */
const AREA = SMBASE + 0xfc00
const AREA_END = SMBASE + 0x1_0000
/** Programs in which an SMI came, by the mode that they began in. */
const taken = new Map<string, number>()

function outcome(pc: BareCpu, exit: Exit): string {
  let hash = 0
  const { u8 } = pc.memory
  for (let gpa = 0; gpa < RAM_BYTES; gpa++) {
    if (gpa < AREA || gpa >= AREA_END) hash = (Math.imul(hash, 31) + u8[pc.host.ramMa + gpa]!) | 0
  }
  return JSON.stringify({ exit: exit.reason, hash, seen: pc.host.seen.join(), cpu: saveVcpu(pc.cpu) })
}

/** Whatever the bytes are, SMIs between their instructions, and while they wait for a device, change nothing. */
export const soak: Soak = {
  name: 'system-management',
  count: 300,
  step(rng) {
    const given = drawCase(rng)
    const plain = prepare(given, 1 << 20)
    smiHandler(plain, (asm) => asm.rsm())
    const exit = finish(plain, 200, (pc) => pc.cpu.run(BUDGET))
    if (exit.reason !== 'hlt' && exit.reason !== 'shutdown') return
    // Code that has written the handler, or runs in the save area, is none for this.
    if (plain.read16(SMBASE + 0x8000) !== 0xaa0f || (plain.rip >= AREA && plain.rip < AREA_END)) return
    const managed = prepare(given, 1 << 20)
    smiHandler(managed, (asm) => asm.rsm())
    let smis = 0
    // Turns of random length; an instruction that waits for a device has its SMI meanwhile.
    const end = finish(managed, 3 * BUDGET, (pc) => {
      if (!pc.cpu.inSystemManagement && rng.chance(1, 3)) {
        pc.cpu.smi()
        smis++
      }
      let result = rng.chance(3, 4) ? pc.cpu.step() : pc.cpu.run(1 + rng.below(40))
      // An SMI that has come with the end is served, and its handler returns to that. What blocks it may come to the end first.
      const waits = (): boolean => (pc.cpu.u32[S_EVENTS >>> 2]! & EVENT_SMI) !== 0 || pc.cpu.inSystemManagement
      for (let i = 0; i < 2 && waits(); i++) {
        result = pc.cpu.run(BUDGET)
        if (result.reason !== 'hlt' && result.reason !== 'shutdown') break
      }
      return result
    })
    if (end.reason === 'error') return `error: ${String(end.error)}`
    if (end.reason !== 'hlt' && end.reason !== 'shutdown') return
    if (smis > 0) taken.set(given.mode, (taken.get(given.mode) ?? 0) + 1)
    const [found, expected] = [outcome(managed, end), outcome(plain, exit)]
    if (found === expected) return
    const at = [...expected].findIndex((c, i) => c !== found[i])
    return `with SMIs: ${found.slice(Math.max(0, at - 60), at + 60)}, without: ${expected.slice(Math.max(0, at - 60), at + 60)}`
  },
  teardown() {
    console.error(`programs with SMIs: ${[...taken].map(([mode, count]) => `${mode} ${count}`).join(', ')}`)
  },
}
