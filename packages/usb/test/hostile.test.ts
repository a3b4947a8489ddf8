import fc from 'fast-check'
import { expect, test } from 'vitest'
import { hostileCase, sameUsb } from './support/hostile-usb.ts'
import { trbType, XhciDriver } from './support/xhci-driver.ts'

const COMMAND = 0x40
const COMMAND_RING = 0x58
const DEQUEUE = 0x1038
const EVENTS = 0x4000
const NO_OP = trbType(23)

/** A controller whose event ring of 32 is full, with one event that waits. */
function full(): XhciDriver {
  const driver = new XhciDriver()
  driver.start()
  for (let i = 0; i < 40; i++) {
    driver.put(0, [0, 0, 0, NO_OP])
    driver.doorbell(0, 0)
  }
  return driver
}

/** Events on the ring, in the first cycle. */
const events = ({ machine }: XhciDriver): number =>
  Array.from({ length: 32 }, (_, i) => machine.view.getUint32(EVENTS + 16 * i + 12, true) & 1).reduce((a, b) => a + b)

test.each([
  ['a guest that writes anything anywhere neither makes it throw nor keeps it busy', hostileCase, 150, 60],
  ['a controller that was saved and restored elsewhere goes on as the first one does', sameUsb, 30, 40],
] as const)(
  '%s',
  async (_what, run, steps, numRuns) => {
    await fc.assert(
      fc.asyncProperty(fc.infiniteStream(fc.nat()), async (numbers) => {
        expect(await run((bound) => (numbers.next().value as number) % bound, steps)).toBe(null)
      }),
      { numRuns },
    )
  },
  60_000,
)

test.each([
  {
    how: 'is halted',
    stop: ({ machine }: XhciDriver) => machine.write(COMMAND, 4),
    start: ({ machine }: XhciDriver) => machine.write(COMMAND, 5),
  },
  {
    how: 'may not reach memory',
    stop: ({ machine }: XhciDriver) => machine.fn!.configWrite(4, 2, 3),
    start: ({ machine }: XhciDriver) => machine.fn!.configWrite(4, 2, 7),
  },
])('a controller that $how writes no event that has waited for room', ({ stop, start }) => {
  const driver = full()
  expect(events(driver)).toBe(31)
  stop(driver)
  const image = driver.machine.ram.slice()
  driver.machine.write(DEQUEUE, EVENTS + 16 * 8)
  expect(Buffer.compare(image, driver.machine.ram)).toBe(0)
  start(driver)
  expect(Buffer.compare(image, driver.machine.ram)).not.toBe(0)
})

test('a command ring that is stopped over and over without room for events tells of it once', () => {
  const driver = full()
  const waiting = (): number => (driver.model.save()['interrupters'] as { waiting: unknown[] }[])[0]!.waiting.length
  for (let i = 0; i < 1000; i++) {
    driver.doorbell(0, 0)
    driver.machine.write(COMMAND_RING, 2)
  }
  expect(waiting()).toBeLessThanOrEqual(1)
  driver.machine.write(DEQUEUE, EVENTS + 16 * 8)
  const codes = Array.from({ length: 8 }, (_, i) => driver.machine.view.getUint32(EVENTS + 16 * i + 8, true) >>> 24)
  expect(codes.filter((code) => code === 24)).toHaveLength(1)
})
