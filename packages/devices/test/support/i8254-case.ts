import { I8254 } from '../../src/i8254.ts'
import { PIT_RATE } from '../../src/tick-counter.ts'
import { FakeMachine } from './fake-machine.ts'
import { ModelCounter } from './i8254-model.ts'
import type { Choose } from './random-board.ts'

/**
 * Programs an 8254 at random and compares every read, every output and the edges of IRQ 0 with a model that is clocked
 * tick by tick. Counts of 1 in modes 2 and 3, which the data sheet excludes, are not written.
 *
 * @returns what differs, or undefined
 */
export function i8254Case(choose: Choose): string | undefined {
  let machine = new FakeMachine()
  let pit = new I8254()
  pit.attach(machine.context())
  const model = [new ModelCounter(true), new ModelCounter(true), new ModelCounter(false)] as const
  let tick = 0
  let edgesBefore = 0
  const log: string[] = []
  /** The machine has been late: its edges follow in their own time. */
  let late = false
  const passes = (ticks: number): void => {
    log.push(`${ticks} ticks`)
    if (choose(16) === 0) {
      late = true
      tick += ticks
      for (let i = 0; i < ticks; i++) for (const counter of model) counter.clock()
      machine.leap(PIT_RATE.nanosecondsAt(tick) - machine.time)
      return
    }
    // The line is looked at where the model's clock is: at each tick, as the board's timer would have it.
    for (let i = 0; i < ticks; i++) {
      tick++
      for (const counter of model) counter.clock()
      machine.advance(PIT_RATE.nanosecondsAt(tick) - machine.time)
    }
  }
  const access = [0, 0, 0]
  const select = (index: number): void => {
    const mode = choose(8)
    access[index] = 1 + choose(3)
    const word = (index << 6) | (access[index]! << 4) | (mode << 1) | (choose(4) === 0 ? 1 : 0)
    log.push(`control ${word.toString(16)}`)
    machine.out(0x43, word)
    model[index]!.control(word)
    count(index)
  }
  const count = (index: number): void => {
    const bytes = access[index] === 3 ? 2 : 1
    const low = 2 + choose(30)
    for (let i = 0; i < bytes; i++) {
      // A few ticks each; the high byte alone is 256 of them and more.
      const byte = access[index] === 2 ? 1 : i === 0 ? (low % 10) + ((low / 10) << 4) : 0
      log.push(`count ${byte}`)
      machine.out(0x40 + index, byte)
      model[index]!.write(byte)
      if (choose(4) === 0) passes(choose(3))
    }
  }
  for (let index = 0; index < 3; index++) select(index)
  for (let steps = choose(40); steps >= 0; steps--) {
    const index = choose(3)
    const counter = model[index]!
    switch (choose(8)) {
      case 0:
        select(index)
        break
      case 1:
        log.push(`latch ${index}`)
        machine.out(0x43, index << 6)
        counter.latch()
        break
      case 2: {
        const what = choose(4)
        log.push(`read back ${what}`)
        machine.out(0x43, 0xc0 | (what << 4) | 0x0e)
        for (const each of model) {
          if ((what & 2) === 0) each.latch()
          if ((what & 1) === 0) each.latchStatus()
        }
        break
      }
      case 3: {
        const level = choose(2) === 1
        log.push(`gate ${level}`)
        machine.out(0x61, level ? 1 : 0)
        model[2].gate(level)
        break
      }
      case 4: {
        // Saved in one machine, gone on with in another.
        log.push('restore')
        const saved: unknown = JSON.parse(JSON.stringify(pit.save()))
        const other = new FakeMachine()
        other.time = machine.time
        const level = machine.line(0).level
        edgesBefore += machine.line(0).edges
        pit = new I8254()
        pit.attach(other.context())
        pit.restore(saved)
        machine = other
        // A wire that comes up already asserted is no edge.
        if (level) edgesBefore -= machine.line(0).edges
        if (machine.line(0).level !== level)
          return `${log.join('; ')}: the line is ${machine.line(0).level} after restore`
        break
      }
      case 5:
        count(index)
        break
      default:
        break
    }
    const ticks = choose(4) === 0 ? choose(600) : choose(40)
    passes(ticks)
    const got = machine.in(0x40 + index)
    const expected = counter.read()
    if (got !== expected) return `${log.join('; ')}: counter ${index} reads ${got}, the model ${expected}`
    const outputs = [machine.line(0).level, (machine.in(0x61) & 0x20) !== 0]
    // The board shows the one low tick of a rate generator as an edge alone.
    const lineDiffers = !late && model[0].out && !outputs[0]
    if (lineDiffers || outputs[1] !== model[2].out)
      return `${log.join('; ')}: outputs ${outputs.join()}, of the model ${model[0].out},${model[2].out}`
    const edges = edgesBefore + machine.line(0).edges
    if (!late && edges !== model[0].rises) return `${log.join('; ')}: ${edges} edges, of the model ${model[0].rises}`
  }
  return undefined
}
