import * as fc from 'fast-check'
import { slicedCount, slicedSeed } from '@retrap/tooling/slice'
import { describe, expect, test } from 'vitest'
import { I8259Pair } from '../src/index.ts'
import { Naive8259Pair } from './support/naive-8259.ts'

const SEED = slicedSeed(82_59)

const byte = fc.nat(0xff)
/** Bytes for the command port: any, and those that matter more often. */
const command = fc.oneof(
  { weight: 2, arbitrary: byte.filter((value) => (value & 0x10) === 0) },
  { weight: 3, arbitrary: fc.constantFrom(0x20, 0xa0, 0x60, 0x62, 0xe3, 0xc2, 0x80, 0x00) },
  { weight: 2, arbitrary: fc.constantFrom(0x0a, 0x0b, 0x0c, 0x0e, 0x0f, 0x68, 0x48) },
)
const chip = fc.constantFrom('master' as const, 'slave' as const)

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('line' as const), irq: fc.nat(15), up: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pulse' as const), irq: fc.nat(15) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('inta' as const) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('command' as const), chip, value: command }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('mask' as const), chip, value: byte }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('read' as const), chip, port: fc.constantFrom(0, 1) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('elcr' as const), chip, value: byte }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('initialise' as const),
      chip,
      icw1: byte.map((value) => value | 0x10),
      words: fc.tuple(byte, byte, byte),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('snapshot' as const) }) },
)

describe('the pair beside a naive model of the data sheet', () => {
  test(`any sequence of commands, inputs and acknowledgements (seed ${SEED})`, () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0x01, 0x11, 0x03, 0x13),
        fc.array(step, { maxLength: 120, size: 'max' }),
        (icw4, steps) => {
          const wire: boolean[] = [false]
          let pic = new I8259Pair((level) => wire.push(level))
          const model = new Naive8259Pair()
          const out = (which: 'master' | 'slave', port: 0 | 1, value: number): void => {
            const ports = which === 'master' ? pic.masterPorts : pic.slavePorts
            ports.write(port, 1, value)
            model[which].out(port, value)
            model.cascade()
          }
          for (const which of ['master', 'slave'] as const) {
            out(which, 0, 0x11)
            for (const word of [which === 'master' ? 0x20 : 0x28, 4, icw4]) out(which, 1, word)
          }
          for (const each of steps) {
            switch (each.kind) {
              case 'line':
                pic.setLine(each.irq, each.up)
                if (each.irq !== 2) model[each.irq < 8 ? 'master' : 'slave'].wire(each.irq % 8, each.up)
                break
              case 'pulse':
                pic.pulse(each.irq)
                if (each.irq !== 2) model[each.irq < 8 ? 'master' : 'slave'].pulse(each.irq % 8)
                break
              case 'inta':
                expect(pic.acknowledge()).toBe(model.inta())
                break
              case 'command':
                out(each.chip, 0, each.value)
                break
              case 'mask':
                out(each.chip, 1, each.value)
                break
              case 'read': {
                const port = each.port as 0 | 1
                const ports = each.chip === 'master' ? pic.masterPorts : pic.slavePorts
                expect(ports.read(port, 1)).toBe(model[each.chip].in(port))
                break
              }
              case 'elcr':
                pic.elcrPorts.write(each.chip === 'master' ? 0 : 1, 1, each.value)
                model[each.chip].setLevel(each.value)
                break
              case 'initialise':
                out(each.chip, 0, each.icw1)
                for (const word of each.words.slice(0, model[each.chip].expects.length)) out(each.chip, 1, word)
                break
              case 'snapshot': {
                const state = structuredClone(pic.save())
                wire.push(false)
                pic = new I8259Pair((level) => wire.push(level))
                pic.restore(state)
              }
            }
            model.cascade()
            expect(pic.output).toBe(model.int)
            expect(wire.at(-1)).toBe(model.int)
            const state = pic.save() as Record<'master' | 'slave', Record<string, number>>
            for (const which of ['master', 'slave'] as const) {
              const { inService, mask, first } = state[which]
              const naive = model[which]
              expect([inService, mask, first]).toEqual([naive.isr, naive.imr, naive.order[0]])
            }
          }
        },
      ),
      { seed: SEED, numRuns: slicedCount(3000, 6) },
    )
  })
})
