import { Screen } from '@retrap/display'
import { StandardVga } from '../../src/vga/index.ts'
import { FakeMachine } from './fake-machine.ts'
import type { FakeMemory } from './fake-memory.ts'

/** A machine that has a VGA and a screen, and nothing else. */
export interface VgaMachine {
  readonly vga: StandardVga
  readonly machine: FakeMachine
  readonly screen: Screen
  readonly memory: FakeMemory
}

export function vgaMachine(intervalMs = 10): VgaMachine {
  const screen = new Screen({ intervalMs })
  const vga = new StandardVga({ display: screen })
  const machine = new FakeMachine(vga)
  return { vga, machine, screen, memory: machine.memories.get('vram')! }
}
