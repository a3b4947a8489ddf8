/** Domains that are saved at any instant, and go on as another domain. */
import { defineDevice } from '@retrap/device'
import { expect, test } from 'vitest'
import { type ArmDomain, restoreDomain, saveDomain } from '../src/arm/index.ts'
import { armDeterministicRun, type Gic } from './support/arm-deterministic-run.ts'
import { DEVICE, domainWith, ldr, load, movz, OFF, put, RAM } from './support/arm-guest.ts'
import { deterministicRun, type Placement } from './support/deterministic-run.ts'

test.each<[vcpus: number, placement: Placement, moves: number]>([
  [1, 'here', 4],
  [3, 'here', 6],
  [2, 'worker', 3],
])('%i vCPUs with a model %s end as if they had not been saved, %i times', async (vcpus, placement, moves) => {
  expect(await deterministicRun(vcpus, placement, 0n, moves)).toBe(await deterministicRun(vcpus, placement))
})

test.each<[vcpus: number, gic: Gic, moves: number]>([
  [1, 3, 4],
  [3, 3, 8],
  [2, 2, 6],
])('%i Arm vCPUs with a GICv%i end as if they had not been saved, %i times', async (vcpus, gic, moves) => {
  expect(await armDeterministicRun(vcpus, gic, moves)).toBe(await armDeterministicRun(vcpus, gic))
})

test('an Arm vCPU that waits for an event goes on with what it has marked of a device', async () => {
  const flag = 0x800
  const made = (): ArmDomain => {
    const domain = domainWith([
      movz(1, DEVICE >>> 16, 16),
      ...load(20, RAM + flag),
      movz(2, 0x84), // an event every 8 microseconds
      0xd518_e102, // msr cntkctl_el1, x2
      0x885f_7c27, // ldxr w7, [x1]
      0xd503_205f, // wfe
      ldr(3, 20, 0),
      0x34ff_ffc3, // cbz w3, .-8
      0x8808_7c22, // stxr w8, w2, [x1]
      ...OFF,
    ])
    const lock = { name: 'lock', mmio: { base: DEVICE, size: 0x1000 }, stateless: true, read: () => 1 } as const
    domain.attach(defineDevice({ ...lock, write: () => undefined }))
    return domain
  }
  const first = made()
  expect(first.runVcpu(first.vcpus[0]!, 1000).reason).toBe('wait')
  const snapshot = await saveDomain(first, 1000)
  expect(snapshot.state.vcpus[0]).toMatchObject({ waitsForEvent: true, monitor: { ipaLo: DEVICE, ipaHi: 0, size: 4 } })
  const second = made()
  await restoreDomain(second, structuredClone(snapshot))
  expect((await saveDomain(second, 1000)).state).toEqual(snapshot.state)
  put(second, flag, [1])
  expect(await second.run()).toEqual({ reason: 'power-off' })
  expect(second.vcpus[0]!.processor.registers.x(8)).toBe(0n)
})
