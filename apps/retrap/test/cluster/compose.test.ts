// What becomes of Compose files: machines, images by tag, and sentences for what a cluster cannot do.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type MachineInput, readCluster } from '@retrap/cluster'
import { savedImage, writeLayout } from '@retrap/tooling/container-images'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { writeTar } from '@retrap/tooling/tar-writer'
import { describe, expect, test } from 'vitest'
import { configText } from '../../src/commands/cluster/compose/compose-cluster.ts'
import {
  type ComposeFlags,
  composeWords,
  LocalImages,
  readComposition,
} from '../../src/commands/cluster/compose/read-file.ts'

const folder = temporaryFolder('compose')
const images = join(folder, 'images')
const layer = writeTar([{ name: 'etc/', kind: '5' }])
const tagged = (tag: string) => (what: string, value: object) =>
  what === 'index' ? (JSON.parse(JSON.stringify(value).replace('"test"', JSON.stringify(tag))) as object) : value
mkdirSync(images)
writeLayout(join(images, 'server'), [layer], {}, tagged('1.2'))
writeLayout(join(images, 'named'), [layer], {}, tagged('docker.io/library/redis:7'))
writeFileSync(join(images, 'saved.tar'), savedImage([layer], { tags: ['quay.io/a/b:c', 'web:latest'] }))
writeFileSync(join(images, 'notes.txt'), 'no image')
writeFileSync(join(folder, 'conf.ini'), '')
const TEMPLATES = 'opt/antithesis/test/v1'
const template = writeTar(
  [
    ...['opt/', 'opt/antithesis/', 'opt/antithesis/test/'],
    ...['', 'main/', 'helper_x/'].map((name) => `${TEMPLATES}/${name}`),
    ...['first_a', 'parallel_driver_b.sh', 'helper_c', 'notes'].map((name) => ({
      name: `${TEMPLATES}/main/${name}`,
      mode: 0o755,
    })),
    ...[
      { name: `${TEMPLATES}/main/anytime_d`, mode: 0o644 },
      { name: `${TEMPLATES}/main/eventually_e`, kind: '2', link: 'helper_c' },
    ],
  ].map((one) => (typeof one === 'string' ? { name: one, kind: '5', mode: 0o755 } : one)),
)
const Healthcheck = { Test: ['CMD-SHELL', 'is it'], Interval: 2e9, Retries: 7 }
writeLayout(join(images, 'tests'), [template], { config: { Healthcheck } }, tagged('1'))
writeLayout(join(images, 'arm'), [layer], { architecture: 'arm64' }, tagged('1'))
mkdirSync(join(folder, 'more/main'), { recursive: true })
writeFileSync(join(folder, 'more/main/finally_f'), '', { mode: 0o755 })

let count = 0
async function compose(text: string, flags: ComposeFlags = {}) {
  const file = join(folder, `${++count}.yaml`)
  writeFileSync(file, text)
  const { input, lines } = await readComposition(file, { images, pull: 'never', ...flags }, () => undefined)
  // All of it is a cluster's.
  readCluster(input)
  return { input, lines: lines.map((line) => `${line.service}: ${line.text}`), text: configText({ input, lines }) }
}
const one = (keys: string): string =>
  `services: { s: { ${keys.startsWith('image') ? '' : 'image: web, '}${keys} }, t: { image: web } }\nvolumes: { v: , w: }`

test.each<readonly [keys: string, machine: Partial<MachineInput>]>([
  ['hostname: h, container_name: c', { hostname: 'h', aliases: ['c'] }],
  ['command: echo "a b"', { entrypoint: 'image', command: ['echo', 'a b'] }],
  ['command: []', { entrypoint: 'image-alone', command: [] }],
  ['entrypoint: [a, b], command: $$HOME', { entrypoint: ['a', 'b'], command: ['$HOME'] }],
  ['working_dir: /x, user: "1:2", environment: { A: 1 }', { workingDirectory: '/x', user: '1:2', env: { A: '1' } }],
  ['depends_on: [t]', { after: [{ machine: 't', required: true, when: 'started' }] }],
  [
    'depends_on: { t: { condition: service_completed_successfully, required: false } }',
    { after: [{ machine: 't', required: false, when: 'completed' }] },
  ],
  [
    'healthcheck: { test: curl x, interval: 1m30s }',
    { health: { test: ['/bin/sh', '-c', 'curl x'], interval: '90000ms' } },
  ],
  ['healthcheck: { test: [CMD, a] }', { health: { test: ['a'] } }],
  ['image: "tests:1"', { health: { test: ['/bin/sh', '-c', 'is it'], interval: '2000ms', retries: 7 } }],
  [
    'image: "tests:1", healthcheck: { interval: 1s, retries: 0, start_period: 3s }',
    { health: { test: ['/bin/sh', '-c', 'is it'], interval: '1000ms', startPeriod: '3000ms', retries: 7 } },
  ],
  [
    'image: "tests:1", healthcheck: { disable: true }',
    expect.not.objectContaining({ health: expect.anything() as object }),
  ],
  ['extra_hosts: { a: [10.1.2.3, "fd01::2"], b: host-gateway }', { hosts: { a: ['10.1.2.3', 'fd01::2'] } }],
  ['restart: "on-failure:3"', { restart: 'on-failure:3' }],
  ['network_mode: none', { network: 'none' }],
  ['mem_limit: 1g, cpus: 1.5', { memory: '1120M', cpus: 2 }],
  ['deploy: { replicas: 2 }', { count: 2, aliases: ['s'] }],
  ['read_only: true, tmpfs: [/a], shm_size: 1m', { readOnly: true, tmpfs: ['/a'], shmSize: '1048576' }],
  ['ulimits: { nofile: 7, stack: { soft: 1, hard: 2 }, rttime: 1 }', { ulimits: { nofile: [7, 7], stack: [1, 2] } }],
  [
    'sysctls: [net.core.somaxconn=9], platform: linux/amd64',
    { sysctls: { 'net.core.somaxconn': '9' }, arch: 'x86-64' },
  ],
  [
    'volumes: [./conf.ini:/etc/conf.ini:ro, .:/x]',
    { share: [`${folder}/conf.ini:/etc/conf.ini`, `${folder}:/x:copy`] },
  ],
  ['volumes: [./none:/x]', { tmpfs: ['/x'] }],
  ['volumes: [v:/a, w:/b]', { disk: { size: '4G', path: '/.volumes', folders: { '/a': 'v', '/b': 'w' } } }],
  ['volumes: [{ type: tmpfs, target: /a, tmpfs: { size: 1k } }]', { tmpfs: ['/a:size=1024'] }],
  ['x-retrap: { memory: 300M, modules: [btrfs] }', { memory: '300M', modules: ['btrfs'] }],
])('%s', async (keys, machine) => {
  const { input } = await compose(one(keys))
  expect(input.machines[0]).toMatchObject(machine)
})

test('networks, secrets, configs, faults and the workload have their places', async () => {
  const { input, lines, text } = await compose(`
services:
  db: { image: "server:1.2", networks: { back: { ipv4_address: 10.9.0.7, aliases: [store] } }, secrets: [key], configs: [c, { source: c, target: /d, mode: 0550, uid: "7" }] }
  test: { image: redis:7, networks: [back], ports: ["80:80"], labels: { com.antithesis.exclude_from_faults: "true", a: b }, secrets: [{ source: key, gid: 3 }] }
networks: { back: { enable_ipv6: true, ipam: { config: [{ subnet: 10.9.0.0/24 }] } } }
secrets: { key: { file: ./conf.ini } }
configs: { c: { content: "a\\n" } }
x-retrap: { workload: { on: test, drivers: [[run]] }, faults: { for: 5s, power: { every: 1s, for: 1s } }, limit: 1h }`)
  expect(input).toMatchObject({
    networks: { back: { subnet4: '10.9.0.0/24', ipv6: true } },
    resolver: true,
    faults: { for: '5s', power: { machines: ['db'] } },
    workload: { on: 'test' },
    limit: '1h',
  })
  expect(input.machines[0]).toMatchObject({
    networks: { back: { ipv4: '10.9.0.7', aliases: ['store'] } },
    share: [`${folder}/conf.ini:/run/secrets/key`],
    files: { '/c': { text: 'a\n', mode: '0444', owner: '0:0' }, '/d': { text: 'a\n', mode: '0550', owner: '7:0' } },
  })
  expect(lines).toEqual([
    'test: ports: nothing of a cluster is reached from this host',
    'test: labels: of labels only com.antithesis.exclude_from_faults counts',
    `test: secrets: /run/secrets/key has the owner and permissions of ${folder}/conf.ini, as in docker: no mode, uid and gid`,
  ])
  expect(text).toContain('test: named, 512M, 1 processor\n')
  expect((await compose(one('init: true'), { faults: 'none' })).input.faults).toEqual({ for: '60s', heal: '0s' })
})

test('services that write one volume share a machine, also by way of a third', async () => {
  const { input, text } = await compose(`services:
  a: { image: web, volumes: [v:/x, /own], deploy: { replicas: 2 }, mem_limit: 200m }
  b: { image: web, volumes: [v:/y, w:/w, /own], mem_limit: 100m, cpus: 0.5 }
  c: { image: web, volumes: [w:/z], cpus: 1.5 }
  d: { image: web, volumes: [u:/u], mem_limit: 6g }
volumes: { u: , v: , w: }`)
  expect(input.machines).toMatchObject([
    { name: 'a', count: 2, inside: 'b', disk: { folders: { '/x': 'v' } }, tmpfs: ['/own'] },
    { memory: '1072M', cpus: 4, disk: { folders: { '/y': 'v', '/w': 'w', '/own': 'b-anonymous-3' } } },
    { name: 'c', inside: 'b', disk: { folders: { '/z': 'w' } } },
    { memory: '3584M', cpus: 1 },
  ])
  expect(text).toContain('for v, w a, b, c share the machine of b, as containers: crash, power, clock, ')
  expect(text).toContain("- memory: 6240M would be its machine's, which has 3584M at most\n")
})

const ready = (names: string, when = 'service_completed_successfully'): string =>
  `depends_on: { ${names
    .split(' ')
    .map((name) => `${name}: { condition: ${when} }`)
    .join(', ')} }`
test.each<readonly [what: string, services: readonly string[], copies: readonly unknown[]]>([
  ['one writer', ['', ready('a'), `${ready('a')}, scale: 2`], [undefined, { v: 'a' }, { v: 'a' }]],
  ['a chain of writers', ['', ready('a'), ready('b')], [undefined, { v: 'a' }, { v: 'b' }]],
  [
    'a writer that another one has waited for',
    ['', ready('a'), ready('b', 'service_started')],
    [undefined, { v: 'a' }, { v: 'a' }],
  ],
  ['a user that waits for nothing', ['', ready('a'), ''], ['a', 'a', 'a']],
  ['two writers at once', ['', '', ready('a b')], ['a', 'a', 'a']],
  [
    'another volume of two users',
    ['', `${ready('a')}, volumes: [v:/v, w:/w]`, `${ready('a')}, volumes: [v:/v, w:/w]`],
    ['a', 'a', 'a'],
  ],
])('a volume of %s', async (_, services, copies) => {
  const all = services.map(
    (keys, i) => `${'abc'[i]}: { image: web${keys.includes('volumes') ? '' : ', volumes: [v:/v]'}, ${keys} }`,
  )
  const { input } = await compose(`services: { ${all.join(', ')} }\nvolumes: { v: , w: }`)
  const of = ({ name, inside, disk }: MachineInput) => inside ?? (typeof disk === 'object' ? disk.copies : name)
  const isShared = input.machines.some(({ inside }) => inside !== undefined)
  expect(input.machines.map((one, i) => (isShared && i === 0 ? one.name : of(one)))).toEqual(copies)
})

test('test templates are found in images and in folders that are mounted', async () => {
  const services = `services:
  a: { image: "tests:1", deploy: { replicas: 2 } }
  b: { image: "arm:1", platform: linux/arm64, volumes: ["./more/main:/${TEMPLATES}/main:ro"] }
  c: { image: web, configs: [{ source: text, target: /${TEMPLATES}/main/first_c, mode: 0755 }, { source: text, target: /${TEMPLATES}/main/first_d }],
       secrets: [{ source: file, target: /${TEMPLATES}/main/first_e }] }
configs: { text: { content: "#!/bin/sh" } }
secrets: { file: { file: ./more/main/finally_f } }`
  const { input, text } = await compose(services)
  const commands = ['first_a', 'parallel_driver_b.sh', 'eventually_e', 'finally_f'] as const
  const [first, driver, last, final] = commands.map((name) => ({
    kind: /^[a-z]+(_driver)?/.exec(name)![0],
    command: [`/${TEMPLATES}/main/${name}`],
  }))
  const of = (on: string) => [last, first, driver].map((one) => ({ ...one, on }))
  const files = ['first_c', 'first_e'].map((name) => ({ ...first, command: [`/${TEMPLATES}/main/${name}`], on: 'c' }))
  const main = [...of('a-1'), ...of('a-2'), { ...final, on: 'b' }, ...files]
  expect(input.workload).toEqual({ setup: 'setup-complete', templates: { main } })
  expect(input.machines[1]?.arch).toBe('arm64')
  expect(text).toContain(`test template main:\n  a-1: /${TEMPLATES}/main/eventually_e\n`)
  const own = await compose(`${services}\nx-retrap: { workload: { templates: {} } }`)
  expect(own.input.workload).toEqual({ templates: {} })
})

test.each([
  [
    `services: { a: { image: web, volumes: ["./more:/${TEMPLATES}:ro"] } }`,
    'workload.templates.main: no executable of it runs while faults come: expected one of parallel_driver',
  ],
  [one('platform: linux/arm64'), 'the image is for linux/amd64, not for linux/arm64'],
  [
    'services: { a: { image: "nowhere:1" } }',
    ':1: services.a.image: there is no image nowhere:1 on this host: docker pull',
  ],
  ['services:\n  a: { build: . }', ':2: services.a.build: there is no image '],
  [one('network_mode: host'), 'services.s.network_mode: host: each service is a machine'],
  [
    one('volumes: [{ type: bind, source: ./no, target: /x, bind: { create_host_path: false } }]'),
    `there is no ${folder}/no on this host`,
  ],
  [
    'services: { a: { image: web, volumes: [v:/x], deploy: { replicas: 2 } } }\nvolumes: { v: }',
    'v: a share it, and so a machine: expected one of them without replicas',
  ],
  [one('volumes: [{ type: image, source: web, target: /x }]'), 'image: expected bind, volume or tmpfs'],
  [
    `${one('secrets: [k]')}\nsecrets: { k: { file: ./no } }`,
    `services.s.secrets: k: there is no ${folder}/no on this host`,
  ],
  [one('depends_on: [u]'), 'depends_on'],
  ['services: [', ':1:'],
])('%s is refused by a sentence', (text, message) => expect(compose(text)).rejects.toThrow(message))

describe('images', () => {
  test.each([
    ['server:1.2', `${images}/server`],
    ['library/redis:7', `${images}/named`],
    ['docker.io/redis:7', `${images}/named`],
    ['web', `${images}/saved.tar:web:latest`],
    ['quay.io/a/b:c', `${images}/saved.tar:quay.io/a/b:c`],
    ['b:c', `${images}/saved.tar:quay.io/a/b:c`],
    ['server', undefined],
  ])('%s', async (name, path) => expect(await new LocalImages(images, () => undefined).find(name)).toBe(path))
})

test('options come back as words of a command line', () => {
  const lists = { file: ['b'], profile: ['p'], envFile: ['e'], only: ['x', 'y'] }
  const words = composeWords({ ...lists, images: 'i', faults: 'none', pull: 'always' }).join(' ')
  expect(words).toBe('-f b --images i --profile p --env-file e --only x,y --faults none --pull always')
})
