/** What firmware and a Q35 agree on about SMIs, across resets and restored states. */
import type { DeviceContext, RangeHandler } from '@retrap/device'
import { FwCfg } from '@retrap/devices'
import { expect, test } from 'vitest'
import { SmiFeatures } from '../src/board/q35.ts'

const REQUESTED = 0x20
const OK = 0x21
const BROADCAST = [1, 0, 0, 0, 0, 0, 0, 0]

class Chipset {
  readonly features = new SmiFeatures()
  readonly fwCfg = new FwCfg({ files: this.features.files })
  #ports!: RangeHandler

  constructor() {
    const context: Partial<DeviceContext> = {
      timer: () => ({ cancel() {}, armAfter() {}, readDeadline: () => false }) as never,
      mapPorts: (base, _count, handler) => {
        if (base === 0x510) this.#ports = handler
        return {} as never
      },
    }
    this.fwCfg.attach(context as DeviceContext)
  }

  /** What the guest has written by DMA, which a restored state also has. */
  request(features: readonly number[]): void {
    const saved = this.fwCfg.save()['written'] as readonly (readonly [number, unknown])[]
    const written = saved.map(([key, bytes]) => [key, key === REQUESTED ? features : bytes])
    this.fwCfg.restore({ ...this.fwCfg.save(), written })
  }

  /** Selects `features-ok`. */
  ask(): unknown {
    void this.#ports.write(0, 2, OK)
    return this.#ports.read(1, 1)
  }
}

test('broadcast is settled when firmware asks, and no more after a reset', () => {
  const chipset = new Chipset()
  chipset.request(BROADCAST)
  expect(chipset.features.broadcast).toBe(false)
  expect([chipset.ask(), chipset.features.broadcast]).toEqual([1, true])
  chipset.fwCfg.reset()
  expect(chipset.features.broadcast).toBe(false)
  chipset.request([3, 0, 0, 0, 0, 0, 0, 0])
  expect([chipset.ask(), chipset.features.broadcast]).toEqual([0, false])
})

test('what is settled is not written any more, and is saved', () => {
  const chipset = new Chipset()
  chipset.request(BROADCAST)
  chipset.ask()
  const bytes = new Uint8Array(8)
  chipset.features.files['etc/smi/requested-features']!.onWrite!(bytes)
  expect([...bytes, chipset.features.broadcast]).toEqual([...BROADCAST, true])
  const other = new Chipset()
  other.fwCfg.restore(structuredClone(chipset.fwCfg.save()))
  expect([other.ask(), other.features.broadcast]).toEqual([1, true])
  const third = new Chipset()
  chipset.fwCfg.restore(third.fwCfg.save())
  expect(chipset.features.broadcast).toBe(false)
})
