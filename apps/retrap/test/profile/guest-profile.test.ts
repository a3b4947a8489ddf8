// Samples of a guest become stacks of names: by vCPU, mode, and callers, the innermost last.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { GuestSample, SampledMemory } from '@retrap/machine'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import type { LinuxMemory } from '@retrap/symbols'
import { GuestProfile } from '../../src/machine/profile/guest-profile.ts'

const folder = temporaryFolder('profile')

/** A machine in whose memory there are no symbols. */
const NAMELESS = { domain: { p2m: { leaves: () => [] } }, memory: { u8: new Uint8Array(0) } } as unknown as LinuxMemory

/** Memory in which nothing is mapped. */
const NOTHING: SampledMemory = { peek: () => 0 }

const sample = (fields: Partial<GuestSample> = {}): GuestSample => ({
  ...{ vcpu: 0, ns: 1000, address: 0x10n, callers: [], stackPointer: 0n, isUser: false, pageTables: undefined },
  ...fields,
})

/** The stacks of a profile's samples, from the root on. */
function stacksOf(profile: GuestProfile): string[] {
  const { nodes, samples } = profile.builder.build()
  const parents = new Map(nodes.flatMap(({ id, children }) => children.map((child) => [child, id] as const)))
  return samples.map((leaf) => {
    const names: string[] = []
    for (let id: number | undefined = leaf; id !== undefined && id !== 1; id = parents.get(id)) {
      names.push(nodes[id - 1]!.callFrame.functionName)
    }
    return names.toReversed().join(' > ')
  })
}

test('each sample is its stack, time without a vCPU is idle, and kinds of processes are told apart', () => {
  const path = join(folder, 'one.cpuprofile')
  const profile = new GuestProfile(path, 1)
  expect(readFileSync(path, 'utf8')).toBe('')
  profile.onSample(sample({ callers: [0x20n, 0x30n] }), NOTHING)
  profile.onIdle(5000)
  profile.onSample(sample({ address: 0xffff_8000_0000_0000n, pageTables: 0x1000n }), NOTHING)
  profile.onSample(sample({ isUser: true }), NOTHING)
  profile.resolve(NAMELESS, undefined)
  profile.onSample(sample({ isUser: true, pageTables: 0x1234_5000n }), NOTHING)
  profile.onSample(sample({ callers: [0x20n, 0x30n] }), NOTHING)
  profile.resolve(NAMELESS, undefined)
  expect(stacksOf(profile)).toEqual([
    'kernel > 0x30 > 0x20 > 0x10',
    '(idle)',
    'kernel > 0xffff800000000000',
    'user > 0x10',
    'user, page tables 0x12345000 > 0x10',
    'kernel > 0x30 > 0x20 > 0x10',
  ])
  profile.write()
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual(profile.builder.build())
})

test('several vCPUs are told apart', () => {
  const profile = new GuestProfile(join(folder, 'two.cpuprofile'), 2)
  for (const vcpu of [0, 1, 0]) profile.onSample(sample({ vcpu }), NOTHING)
  profile.resolve(NAMELESS, undefined)
  expect(stacksOf(profile)).toEqual(['vCPU 0 > kernel > 0x10', 'vCPU 1 > kernel > 0x10', 'vCPU 0 > kernel > 0x10'])
})

test('two million samples are kept', () => {
  const profile = new GuestProfile(join(folder, 'long.cpuprofile'), 1)
  for (let i = 1; i < 2_000_000; i++) profile.onIdle(1)
  expect(profile.isFull).toBe(false)
  profile.onSample(sample(), NOTHING)
  expect(profile.isFull).toBe(true)
  profile.onSample(sample(), NOTHING)
  profile.onSample(sample({ address: 0x99n }), NOTHING)
  profile.resolve(NAMELESS, undefined)
  const { samples, nodes } = profile.builder.build()
  expect([samples.length, nodes.some(({ callFrame }) => callFrame.functionName === '0x99')]).toEqual([2_000_000, false])
})

test('a file that cannot be written is a mistake of the caller', () => {
  expect(() => new GuestProfile(join(folder, 'no', 'folder'), 1)).toThrow(
    /cannot write the profile .*: its folder is not there/,
  )
})
