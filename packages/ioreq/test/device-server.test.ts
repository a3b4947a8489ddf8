import { defineDevice } from '@retrap/device'
import { expect, test } from 'vitest'
import { DeviceServer } from '../src/index.ts'

test('a model elsewhere that arms a timer for NaN is told so, and nothing is sent', () => {
  const sent: string[] = []
  const server = new DeviceServer({ send: ({ kind }) => void sent.push(kind), answer: () => {} })
  const model = defineDevice({ name: 'odd', attach: (context) => context.timer(() => {}).arm(NaN) })
  expect(() => server.attach(model)).toThrow(expect.objectContaining({ name: 'DeviceError', code: 'ERR_INVALID' }))
  expect(sent).not.toContain('armTimer')
})
