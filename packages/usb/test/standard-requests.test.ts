/** What every device answers by itself. Source: USB 2.0, §9.4, "Standard Device Requests"; USB 3.2, §9.4. */
import { describe, expect, test } from 'vitest'
import { AttachedDevice } from '../src/attached-device.ts'
import type { UsbRefusal, UsbSpeed } from '../src/index.ts'
import { TestDevice } from './support/test-device.ts'

const GET_STATUS = 0
const CLEAR_FEATURE = 1
const SET_FEATURE = 3
const SET_ADDRESS = 5
const GET_CONFIGURATION = 8
const SET_CONFIGURATION = 9
const GET_INTERFACE = 10
const SET_INTERFACE = 11
const SET_SEL = 48
const SET_ISOCH_DELAY = 49

const OF_DEVICE = 0x80
const OF_INTERFACE = 0x81
const OF_ENDPOINT = 0x82
const TO_DEVICE = 0
const TO_INTERFACE = 1
const TO_ENDPOINT = 2
const TO_OTHER = 3

const ENDPOINT_HALT = 0
const REMOTE_WAKEUP = 1
const U1_ENABLE = 48
const LTM_ENABLE = 50

/** What the device itself answers to requests that it is asked: none of these tests' bytes. */
const OWN = Uint8Array.of(0xee)

type Request = readonly [type: number, request: number, value?: number, index?: number]
type Answer = readonly number[] | UsbRefusal | 'own'

/** An attached device, and how it answers. */
function attached(configuration: number, speed: UsbSpeed = 'full', mayWake = true) {
  const device = new TestDevice('test', speed, mayWake)
  device.controlAnswer = OWN
  const one = new AttachedDevice(device)
  const ask = (...[type, request, value = 0, index = 0]: Request): Answer => {
    const answer = one.control({ type, request, value, index, length: 0 }, new Uint8Array(0))
    if (answer === OWN) return 'own'
    return typeof answer === 'string' ? answer : [...answer]
  }
  if (configuration !== 0) expect(ask(TO_DEVICE, SET_CONFIGURATION, configuration)).toEqual([])
  return { device, one, ask }
}

interface Row {
  readonly what: string
  readonly request: Request
  readonly answer: Answer
}

const CONFIGURED: readonly Row[] = [
  { what: 'the status of the device: it has its own power', request: [OF_DEVICE, GET_STATUS], answer: [1, 0] },
  { what: 'the status of its interface', request: [OF_INTERFACE, GET_STATUS], answer: [0, 0] },
  { what: 'the status of an interface too many', request: [OF_INTERFACE, GET_STATUS, 0, 1], answer: 'stall' },
  { what: 'the status of endpoint 0', request: [OF_ENDPOINT, GET_STATUS, 0, 0], answer: [0, 0] },
  { what: 'the status of endpoint 0, for IN', request: [OF_ENDPOINT, GET_STATUS, 0, 0x80], answer: [0, 0] },
  { what: 'the status of an endpoint', request: [OF_ENDPOINT, GET_STATUS, 0, 0x83], answer: [0, 0] },
  { what: 'the status of an endpoint of no interface', request: [OF_ENDPOINT, GET_STATUS, 0, 0x82], answer: 'stall' },
  { what: 'its configuration', request: [OF_DEVICE, GET_CONFIGURATION], answer: [1] },
  { what: 'a configuration too many', request: [TO_DEVICE, SET_CONFIGURATION, 2], answer: 'stall' },
  { what: 'the setting of its interface', request: [OF_INTERFACE, GET_INTERFACE], answer: [0] },
  { what: 'the setting of an interface too many', request: [OF_INTERFACE, GET_INTERFACE, 0, 1], answer: 'stall' },
  { what: 'the one setting', request: [TO_INTERFACE, SET_INTERFACE, 0, 0], answer: [] },
  { what: 'another setting', request: [TO_INTERFACE, SET_INTERFACE, 1, 0], answer: 'stall' },
  { what: 'a setting of an interface too many', request: [TO_INTERFACE, SET_INTERFACE, 0, 1], answer: 'stall' },
  { what: 'function suspend', request: [TO_INTERFACE, SET_FEATURE, 0, 0], answer: [] },
  { what: 'the end of function suspend', request: [TO_INTERFACE, CLEAR_FEATURE, 0, 0], answer: [] },
  { what: 'another feature of an interface', request: [TO_INTERFACE, SET_FEATURE, 1, 0], answer: 'own' },
  { what: 'a feature of an interface too many', request: [TO_INTERFACE, SET_FEATURE, 0, 1], answer: 'own' },
  { what: 'another request to an interface', request: [TO_INTERFACE, SET_CONFIGURATION, 0, 0], answer: 'own' },
  { what: 'an address', request: [TO_DEVICE, SET_ADDRESS, 5], answer: [] },
  { what: 'exit latencies', request: [TO_DEVICE, SET_SEL], answer: [] },
  { what: 'an isochronous delay', request: [TO_DEVICE, SET_ISOCH_DELAY, 40], answer: [] },
  {
    what: 'a feature of endpoints, set in the device',
    request: [TO_DEVICE, SET_FEATURE, ENDPOINT_HALT],
    answer: 'stall',
  },
  { what: 'a feature of SuperSpeed', request: [TO_DEVICE, SET_FEATURE, U1_ENABLE], answer: 'stall' },
  { what: 'another feature of endpoints', request: [TO_ENDPOINT, SET_FEATURE, 1, 0x81], answer: 'stall' },
  { what: 'an endpoint of no interface, halted', request: [TO_ENDPOINT, SET_FEATURE, 0, 0x82], answer: 'stall' },
  { what: 'another request to an endpoint', request: [TO_ENDPOINT, SET_INTERFACE, 0, 0x81], answer: 'stall' },
  { what: 'a request to what is no part of it', request: [TO_OTHER, SET_FEATURE, 0, 0x81], answer: 'stall' },
  { what: 'a request that there is not', request: [TO_DEVICE, 2], answer: 'own' },
  { what: 'a request of a class', request: [0x20, GET_CONFIGURATION], answer: 'own' },
  { what: 'a request of a vendor', request: [0xc0, GET_STATUS], answer: 'own' },
]

test.each(CONFIGURED)('$what: $answer', ({ request, answer }) => {
  expect(attached(1).ask(...request)).toEqual(answer)
})

describe('before it is configured, it has endpoint 0 alone', () => {
  const rows: readonly Row[] = [
    { what: 'its configuration', request: [OF_DEVICE, GET_CONFIGURATION], answer: [0] },
    { what: 'the status of an interface', request: [OF_INTERFACE, GET_STATUS], answer: 'stall' },
    { what: 'the setting of an interface', request: [OF_INTERFACE, GET_INTERFACE], answer: 'stall' },
    { what: 'a setting', request: [TO_INTERFACE, SET_INTERFACE], answer: 'stall' },
    { what: 'the status of endpoint 0', request: [OF_ENDPOINT, GET_STATUS, 0, 0], answer: [0, 0] },
    { what: 'the status of another endpoint', request: [OF_ENDPOINT, GET_STATUS, 0, 0x81], answer: 'stall' },
    { what: 'another endpoint, halted', request: [TO_ENDPOINT, SET_FEATURE, ENDPOINT_HALT, 0x81], answer: 'stall' },
  ]
  test.each(rows)('$what: $answer', ({ request, answer }) => {
    expect(attached(0).ask(...request)).toEqual(answer)
  })
})

test('a halted endpoint says so, and moves nothing until the halt is cleared', () => {
  const { device, one, ask } = attached(1)
  device.answers.push(Uint8Array.of(7))
  expect(ask(TO_ENDPOINT, SET_FEATURE, ENDPOINT_HALT, 0x81)).toEqual([])
  expect(ask(OF_ENDPOINT, GET_STATUS, 0, 0x81)).toEqual([1, 0])
  expect(ask(OF_ENDPOINT, GET_STATUS, 0, 0x02)).toEqual([0, 0])
  expect(one.in(0x81, 8)).toBe('stall')
  expect(ask(TO_ENDPOINT, CLEAR_FEATURE, ENDPOINT_HALT, 0x81)).toEqual([])
  expect(ask(OF_ENDPOINT, GET_STATUS, 0, 0x81)).toEqual([0, 0])
  expect(one.in(0x81, 8)).toEqual(Uint8Array.of(7))
})

test.each([
  { what: 'a configuration', end: (one: ReturnType<typeof attached>) => one.ask(TO_DEVICE, SET_CONFIGURATION, 1) },
  {
    what: 'a reset',
    end: (one: ReturnType<typeof attached>) => {
      one.one.reset()
      one.ask(TO_DEVICE, SET_CONFIGURATION, 1)
    },
  },
])('$what ends all halts', ({ end }) => {
  const one = attached(1)
  one.ask(TO_ENDPOINT, SET_FEATURE, ENDPOINT_HALT, 0x02)
  expect(one.one.out(0x02, Uint8Array.of(1))).toBe('stall')
  end(one)
  expect(one.ask(OF_ENDPOINT, GET_STATUS, 0, 0x02)).toEqual([0, 0])
  expect(one.one.out(0x02, Uint8Array.of(1))).toBe('ack')
})

test('remote wakeup is shown in the status, and ends with a reset', () => {
  const { one, ask } = attached(1)
  expect(ask(TO_DEVICE, SET_FEATURE, REMOTE_WAKEUP)).toEqual([])
  expect([one.mayWake, ask(OF_DEVICE, GET_STATUS)]).toEqual([true, [3, 0]])
  expect(ask(TO_DEVICE, CLEAR_FEATURE, REMOTE_WAKEUP)).toEqual([])
  expect([one.mayWake, ask(OF_DEVICE, GET_STATUS)]).toEqual([false, [1, 0]])
  ask(TO_DEVICE, SET_FEATURE, REMOTE_WAKEUP)
  one.reset()
  expect([one.mayWake, ask(OF_DEVICE, GET_STATUS)]).toEqual([false, [1, 0]])
})

test('a device that cannot wake its host refuses to be let', () => {
  expect(attached(1, 'full', false).ask(TO_DEVICE, SET_FEATURE, REMOTE_WAKEUP)).toBe('stall')
})

test.each([
  { feature: U1_ENABLE, answer: [] },
  { feature: U1_ENABLE + 1, answer: [] },
  { feature: LTM_ENABLE, answer: [] },
  { feature: LTM_ENABLE + 1, answer: 'stall' },
])('feature $feature at SuperSpeed: $answer', ({ feature, answer }) => {
  const { ask } = attached(1, 'super')
  expect(ask(TO_DEVICE, SET_FEATURE, feature)).toEqual(answer)
  expect(ask(TO_DEVICE, CLEAR_FEATURE, feature)).toEqual(answer)
})
