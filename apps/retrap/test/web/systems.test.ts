/** Which systems the start page offers. */
import { expect, test } from 'vitest'
import { CliError } from '@retrap/linux-guest/errors'
import { type MadeSystem, makeSystems } from '../../src/commands/web/debian-system.ts'

const system = (title: string): MadeSystem => ({ system: { title, description: '', options: {} }, files: new Map() })
const missing = (what: string): Promise<never> => Promise.reject(new CliError('ERR_INPUT', `no ${what} in the archive`))

test('a system that cannot be made is left out, and told of', async () => {
  const told: string[] = []
  const make = (architecture: string): Promise<MadeSystem> =>
    architecture === 'arm64' ? missing(architecture) : Promise.resolve(system(architecture))
  const made = await makeSystems(['arm64', 'amd64'], make, (text) => void told.push(text))
  expect(made.map((one) => one.system.title)).toEqual(['amd64'])
  expect(told).toEqual(['the start page has no Debian arm64: no arm64 in the archive'])
})

test.each([[['amd64', 'arm64']], [['arm64']]] as const)(
  'where none of %o can be made the first error says why',
  async (all) => {
    const told: string[] = []
    await expect(makeSystems(all, missing, (text) => void told.push(text))).rejects.toThrow(
      `no ${all[0]} in the archive`,
    )
    expect(told).toEqual([])
  },
)
