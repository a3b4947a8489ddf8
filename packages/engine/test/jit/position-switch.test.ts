// A switch over positions: each position goes to its arm, and all else falls out, whether compared or looked up.
import fc from 'fast-check'
import { ModuleBuilder } from '@retrap/wasm-emitter'
import { slicedCount } from '@retrap/tooling/slice'
import { expect, test } from 'vitest'
import { switchPosition } from '../../src/jit/position-switch.ts'
import { RegionFunction } from '../../src/index.ts'

const NOWHERE = -1

/** A function from a position to the number of its arm, and its code's count of look-ups in a table. */
function build(positions: readonly number[]): { armOf: (position: number) => number; tables: number } {
  const module = new ModuleBuilder()
  const f = module.function('armOf', { params: ['i32'], result: 'i32' }, { export: true, builder: RegionFunction })
  const builder = f as unknown as RegionFunction
  let tables = 0
  const table = builder.brTable.bind(builder)
  builder.brTable = (...operands) => {
    tables++
    table(...operands)
  }
  switchPosition(builder, builder.let(f.param(0, 'i32').get.toI64S()), positions, (i) => builder.return(i))
  builder.return(NOWHERE)
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(module.build())))
  return { armOf: exports['armOf'] as (position: number) => number, tables }
}

const distances = fc.integer({ min: -(1 << 24), max: 1 << 24 })

test('each position goes to its arm, and others to none', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(distances, { minLength: 1, maxLength: 49 }),
      fc.array(distances),
      (positions, others) => {
        const { armOf } = build(positions)
        for (const [i, position] of positions.entries()) expect(armOf(position)).toBe(i)
        for (const other of others) expect(armOf(other)).toBe(positions.indexOf(other))
      },
    ),
    { numRuns: slicedCount(200, 3) },
  )
})

test('a few are compared, more are looked up once', () => {
  expect(build([0x10, 0x20, 0x30]).tables).toBe(0)
  expect(build(Array.from({ length: 48 }, (_, i) => 0x100 + 17 * i)).tables).toBe(1)
})
