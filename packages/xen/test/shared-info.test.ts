import { MachineMemory } from '@retrap/memory'
import { expect, test } from 'vitest'
import { SharedInfo } from '../src/shared/shared-info.ts'

/** Bytes of `vcpu_info` (Xen's public xen.h). */
const VCPU_INFO_BYTES = 64

test.each([1, 2, 31, 128])('%d vCPUs have a vcpu_info each until they register one', (vcpus) => {
  const memory = MachineMemory.create({ bytes: 4 << 20 })
  const info = new SharedInfo(memory, vcpus, { seconds: 0, nanoseconds: 0 })
  expect(info.mfn).toBeGreaterThan(0)
  const spare = memory.regions.find(({ purpose }) => purpose === 'Xen vcpu_info')
  expect(spare?.bytes).toBe(vcpus * VCPU_INFO_BYTES)
})
