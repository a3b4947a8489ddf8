/** The model of a file is that of what docker-compose makes of it: two readers agree on each key that both know. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readComposeFiles } from '../src/node/index.ts'
import { dockerCompose } from './docker-compose.ts'
import { modelOf } from './files.ts'

const run = await dockerCompose()
if (run === undefined) console.warn('NOT COMPARED with docker-compose: apt-get, or a Python that runs it, is missing')

const note = skipNote(run !== undefined, 'no docker-compose')
describe.skipIf(run === undefined)(`as docker-compose 1.29.2${note}`, () => {
  /** Compares the models of files and of what `docker-compose config` prints of them. @returns the former */
  async function compare(paths: readonly string[]) {
    const environment = { HOST: 'of the host', HOME: '/home' }
    const printed = run?.([...paths.flatMap((path) => ['-f', path]), 'config'], environment) ?? ''
    const output = join(temporaryFolder('compose'), 'printed.yaml')
    writeFileSync(output, printed)
    const options = { environment, name: 'demo', profiles: ['*'] }
    const own = await readComposeFiles(paths, options)
    expect(modelOf(own), printed).toEqual(modelOf(await readComposeFiles([output], options)))
    return own
  }

  test('every key, merged from two files, extended, with variables', { timeout: 60_000 }, async () => {
    const folder = fileURLToPath(new URL('project', import.meta.url))
    const { notices } = await compare(['compose.yaml', 'over.yaml'].map((name) => join(folder, name)))
    const keys = ['build.args', 'build.labels', 'build.cache_from']
    expect(notices.map(({ key }) => key)).toEqual(keys.map((key) => `services.every.${key}`))
  })

  const word = fc.stringMatching(/^[a-z][a-z0-9_-]{0,6}$/)
  // "$" is doubled, as in any Compose file.
  const line = fc.string({ unit: 'grapheme-ascii', maxLength: 12 }).map((text) => text.replaceAll('$', '$$$$'))
  const port = fc.integer({ min: 1, max: 60_000 })
  const small = fc.integer({ min: 1, max: 90 })
  const time = fc.tuple(small, fc.constantFrom('ms', 's', 'm', 'h')).map((parts) => parts.join(''))
  const size = fc.tuple(port, fc.constantFrom('b', 'k', 'kb', 'm', 'gb')).map((parts) => parts.join(''))
  const texts = fc.uniqueArray(word, { maxLength: 3 })
  const pairs = fc.oneof(
    fc.dictionary(word, fc.oneof(line, port), { maxKeys: 3 }),
    fc.uniqueArray(word, { maxLength: 3 }).map((names) => names.map((name) => `${name}=${name}=`)),
  )
  const published = fc.tuple(port, fc.constantFrom(':1', ':2/udp', ':3/tcp')).map((parts) => parts.join(''))
  const limits = port.map((soft) => ({ soft, hard: soft + 1 }))
  const sources = ['./a:/', '../b/./c:/', '/abs/../d:/', 'named:/']
  const named = fc.tuple(fc.constantFrom(...sources), word, fc.constantFrom('', ':ro', ':rw'))
  const mount = fc.oneof(named, fc.tuple(fc.constant('/'), word)).map((parts) => parts.join(''))
  const service = fc.record(
    {
      image: word,
      cap_add: texts,
      command: fc.oneof(
        fc.constantFrom('a "b c"', "d 'e\"' f\\ g", 'h"i"j'),
        fc.array(line, { minLength: 1, maxLength: 3 }),
      ),
      cpus: small.map((quarters) => quarters / 4),
      environment: pairs,
      expose: fc.uniqueArray(port.map(String), { maxLength: 3 }),
      healthcheck: fc.record({ test: fc.constantFrom('x', ['CMD', 'y z']), interval: time, retries: port }),
      labels: pairs,
      mem_limit: size,
      ports: fc.uniqueArray(published, { maxLength: 3 }),
      restart: fc.constantFrom('no', 'always', 'unless-stopped', 'on-failure', 'on-failure:4'),
      stop_grace_period: time,
      tmpfs: texts.map((names) => names.map((name) => `/${name}`)),
      ulimits: fc.dictionary(word, fc.oneof(port, limits), { maxKeys: 2 }),
      user: port.map(String),
      volumes: fc.uniqueArray(mount, { maxLength: 4, selector: (text) => text.split(':').at(1) ?? text }),
      working_dir: word,
    },
    { requiredKeys: ['image'] },
  )

  test('services with any keys', { timeout: 120_000 }, async () => {
    const services = fc.record({ a: service, b: service, c: service, d: service, e: service, f: service })
    const head = { version: '3.9', volumes: { named: null } }
    const both = fc.asyncProperty(services, services, async (...all) => {
      const folder = temporaryFolder('compose')
      const paths = all.map((one, i) => {
        writeFileSync(join(folder, `${i}.yaml`), JSON.stringify({ ...head, services: one }))
        return join(folder, `${i}.yaml`)
      })
      await compare(paths)
    })
    await fc.assert(both, { numRuns: 8, endOnFailure: true })
  })
})
