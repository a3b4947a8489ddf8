// Whatever a client sends, the session goes on or ends; what it asks of the target stays within bounds.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { framePacket } from '../src/index.ts'
import { connect } from './support.ts'

const PACKETS = [
  'qSupported:swbreak+;hwbreak+',
  'qXfer:features:read:target.xml:0,fff',
  'qXfer:threads:read::0,fff',
  'vCont;s:1;c',
  'vCont?',
  'Hg1',
  'Hc-1',
  'g',
  'G0011',
  'p10',
  'P10=0011223344556677',
  'm100,40',
  'M100,2:abcd',
  'X100,2:ab',
  'Z0,100,1',
  'Z2,100,4',
  'z0,100,1',
  'qRcmd,68656c70',
  'qThreadExtraInfo,1',
  'T1',
  '?',
  'c',
  's',
  'C05',
  'S0b;100',
  'QStartNoAckMode',
  'Qqemu.sstep=0x1',
  'Qqemu.PhyMemMode:1',
]

const mutated = fc
  .tuple(fc.constantFrom(...PACKETS), fc.array(fc.tuple(fc.nat(64), fc.nat(255), fc.nat(2)), { maxLength: 4 }))
  .map(([packet, changes]) => {
    const characters = [...packet]
    for (const [at, code, what] of changes) {
      const place = at % (characters.length + 1)
      const character = String.fromCharCode(code)
      if (what === 0) characters.splice(place, 1)
      else characters.splice(place, what - 1, character)
    }
    return characters.join('')
  })

test('mutated packets, and bytes of any kind', async () => {
  const input = fc.array(fc.oneof(mutated.map(framePacket), fc.uint8Array({ maxLength: 40 })), { maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(input, async (pieces) => {
      const { target, raw, isOver } = connect()
      for (const piece of pieces) {
        await raw(piece)
        if (!target.isStopped) target.halt({ cpu: 1, signal: 5 })
      }
      if (isOver()) return
      // It still answers. What the last piece began may have swallowed a packet.
      await raw('#00')
      await raw(framePacket('Hg1'))
      expect(await raw(framePacket('qC'))).toMatch(/\$QC01#f5$/)
    }),
    { numRuns: 500 },
  )
})
