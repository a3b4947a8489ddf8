// The schema of a machine in cluster.json, and of the parts of its fields.
import { nanosecondsOf } from '@retrap/basics'
import * as z from 'zod'
import type { PlacedMachine } from './description.ts'
import type { NetworkWish, PlaceWish } from './networks.ts'

/** A machine as its fields say: without a number, and maybe several of a kind. */
export type MachineFields = Omit<PlacedMachine, 'number' | 'networks'> & PlaceWish & { readonly count: number }

/** A text that stands for a number. */
type Text = z.ZodType<number, string>

const SIZES = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }
const RATES = { '': 1, k: 1e3, m: 1e6, g: 1e9 }

/** Where a disk's files are, unless its machine says otherwise. */
const DISK_PATH = '/data'
const LEAST_DISK = 8 * 2 ** 20
const MOST_DISK = 64 * 2 ** 30
/** Times of a cluster are exact to the nanosecond within this many hours. */
const MOST_HOURS = 720
export const MOST_NS: number = MOST_HOURS * 3600e9

/** A text that stands for a number. */
const standingFor = (valueOf: (text: string) => number | undefined, expected: string) =>
  z.string(`expected ${expected}`).transform((text, context) => {
    const value = valueOf(text)
    if (value !== undefined) return Math.round(value)
    context.issues.push({ code: 'custom', message: `'${text}': expected ${expected}`, input: text })
    return z.NEVER
  })
const withUnit = (pattern: RegExp, units: Readonly<Record<string, number>>) => (text: string) => {
  const [, number, unit = ''] = pattern.exec(text.trim()) ?? []
  return number === undefined ? undefined : Number(number) * units[unit.toLowerCase()]!
}

export const anyTime: Text = standingFor(nanosecondsOf, 'a time such as 500us, 20ms or 10s')
export const time: Text = anyTime.refine((ns) => ns <= MOST_NS, `expected up to ${MOST_HOURS}h`)
const size = standingFor(withUnit(/^(\d+(?:\.\d+)?) ?([kmg]?)(?:i?b)?$/i, SIZES), 'a size such as 512M or 1G')
export const rate: Text = standingFor(
  withUnit(/^(\d+(?:\.\d+)?) ?([kmg]?)bit$/i, RATES),
  'bits a second such as 100Mbit or 1Gbit',
)
export const part: z.ZodType<number> = z.number().min(0).max(1)
const words = z.array(z.string())
export const program: z.ZodType<string[]> = words.min(1, 'expected a program and its arguments')

/** A time for which a test of health is waited for. */
const wait = time.refine((ns) => ns >= 1e6, 'expected 1ms or more')

/** A name as Docker allows it for containers and hosts. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/
const NAME_RULE = 'expected up to 63 letters, digits, dots, dashes and underscores, the first one a letter or digit'
export const name: z.ZodType<string> = z.string('expected a name').regex(NAME, NAME_RULE)
const given = z.string().optional()

/** The networks of a cluster, by name. */
export const subnets: z.ZodType<Readonly<Record<string, NetworkWish>>> = z.record(
  name,
  z.strictObject({
    subnet4: z.cidrv4('expected a subnet such as 10.5.0.0/24').optional().describe('Default: a free one.'),
    subnet6: z.cidrv6('expected a subnet such as fd05::/64').optional().describe('Default: a free one.'),
    ipv6: z.boolean().optional().describe('Whether the resolver has addresses of IPv6, too. Default: false.'),
  }),
)

const place = z.strictObject({
  ipv4: z.ipv4('expected an address such as 10.5.0.3').optional().describe('Default: a free one.'),
  ipv6: z.ipv6('expected an address such as fd05::3').optional().describe('Default: a free one.'),
  aliases: z.array(name).default([]).describe('Further names in this network. Several machines may share them.'),
})

const when = z.enum(['started', 'healthy', 'completed'])
const condition = z.strictObject({
  machine: name.describe('The name of another machine, or of several of a kind.'),
  when: when.default('started').describe('`completed`: its program has ended with 0. Another code fails the run.'),
  required: z.boolean().default(true).describe('`false`: if it is not there, unhealthy or has failed, so be it.'),
})

const health = z.strictObject({
  test: program.describe('A program and its arguments. It ends with 0 where the machine is healthy.'),
  interval: wait.prefault('30s').describe('The time from the end of a test to the next one.'),
  timeout: wait.prefault('30s').describe('A test that takes longer has failed.'),
  retries: z.int().min(1).default(3).describe('As many failures in a row make the machine unhealthy.'),
  startPeriod: time.prefault('0s').describe('From the start of the program: failures do not count until then.'),
  startInterval: wait.prefault('5s').describe('The interval until then.'),
})

const limit = z.int().min(-1)
const ulimits = z.partialRecord(
  z.enum([
    ...(['core', 'cpu', 'data', 'fsize', 'locks', 'memlock', 'msgqueue', 'nice'] as const),
    ...(['nofile', 'nproc', 'rss', 'rtprio', 'sigpending', 'stack'] as const),
  ]),
  z.union([limit.transform((both) => [both, both] as const), z.tuple([limit, limit]).readonly()]),
)
const tmpfs = z.string().regex(/^\/[^:\0]*(:[\w=%,.-]+)?$/, 'expected PATH or PATH:OPTIONS')
const parameter = z.string().regex(/^[\w-]+([./][\w-]+)+$/, 'expected a name such as net.core.somaxconn')

const POLICY = /^(no|always|unless-stopped|on-failure(:[1-9]\d{0,8})?)$/
const restart = z.string().regex(POLICY, 'expected a policy of Docker').optional()
const entrypoint = z.union([z.enum(['image', 'image-alone']), words]).optional()
const absolute = z.string().startsWith('/', 'expected an absolute path')

const diskSize = size.refine((bytes) => bytes >= LEAST_DISK && bytes <= MOST_DISK, 'expected 8M to 64G')
const folder = z.string().regex(/^(\/[^/\0]+)+$/, 'expected an absolute path')
const mode = z.string().regex(/^[0-7]{3,4}$/, 'expected permissions such as 0755')
const owner = z.string().regex(/^\d{1,9}:\d{1,9}$/, 'expected UID:GID')
const file = z.union([
  z.string().transform((text) => ({ text })),
  z.strictObject({
    text: z.string().describe('Its text.'),
    mode: mode.optional().describe('Its permissions, such as `0755`. Default: 0644.'),
    owner: owner.optional().describe('Its owner as `UID:GID`. Default: root.'),
  }),
])
const disk = z.strictObject({
  size: diskSize
    .optional()
    .transform((bytes = 0) => bytes)
    .describe('8M to 64G. In a container: none.'),
  folders: z
    .record(folder, name)
    .optional()
    .describe(
      'Folders of it by their paths, such as `{ "/var/lib/db": "db" }`. Each begins with the files of the root.',
    ),
  copies: z
    .record(name, name)
    .optional()
    .describe(
      'Folders by name, each with the machine whose folder of that name is copied. Its program has completed before.',
    ),
  path: folder.default(DISK_PATH).describe('Where programs find its files.'),
  format: z
    .enum(['ext4', 'none'])
    .default('ext4')
    .describe('`none`: programs format and mount /dev/vda themselves, before each use.'),
})

export const machine: z.ZodType<MachineFields> = z.strictObject({
  name: name.describe('Other machines find it under this name. Case does not tell names apart.'),
  hostname: name.optional().describe('The name that its programs see. Default: its name.'),
  aliases: z.array(name).optional().describe('Further names in all of its networks. Several machines may share them.'),
  hosts: z
    .record(z.string().regex(/^[^\s#]+$/), z.array(z.union([z.ipv4(), z.ipv6()], 'expected an address')))
    .optional()
    .describe('Addresses by names, which its programs find before those of machines.'),
  count: z.int().min(1).max(64).default(1).describe('Makes several machines: NAME-1, NAME-2 and so on.'),
  arch: z.enum(['x86-64', 'arm64']).default('x86-64').describe('The processors.'),
  inside: name.optional().describe('A machine whose kernel, RAM, processors and disk it shares, as a container.'),
  image: given.describe("A container's image, as `retrap exec --image` takes it."),
  root: given.describe("A folder that is its root. Without image and root it sees this host's files."),
  machine: given.describe('A machine of its own: a file as `retrap run` takes it. It starts its programs itself.'),
  entrypoint: entrypoint.describe(
    "Comes before `command`. `image`: the image's, and its arguments if that is empty. `image-alone`: never these.",
  ),
  command: words.default([]).describe('A program that starts with the machine, and its arguments.'),
  workingDirectory: absolute.optional().describe("Where its programs start; made if missing. Default: the image's."),
  after: z.array(condition).optional().describe('Its program starts when all of these hold. All is ready after that.'),
  health: health.optional().describe('A test that its guest runs by its own time, from the start of its program on.'),
  restart: restart.describe('As in Docker: `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:NUMBER`.'),
  env: z.record(z.string(), z.string()).default({}).describe('Variables of its programs.'),
  user: z.string().default('').describe("`UID`, `UID:GID`, or names. Empty: the image's user, else root."),
  networks: z.record(name, place).optional().describe('Its networks by name. Default: the network `default`.'),
  network: z.literal('none').optional().describe('`none`: it has no network.'),
  readOnly: z.boolean().optional().describe('Its root is only read, apart from `disk`, `tmpfs` and `/dev`.'),
  tmpfs: z.array(tmpfs).optional().describe('Folders in memory, as `PATH` or `PATH:OPTIONS` of mount(8).'),
  ulimits: ulimits
    .optional()
    .describe('Limits of its programs in units of Docker: a number, or soft and hard. -1: none.'),
  shmSize: size.optional().describe('The size of `/dev/shm`. Default: half of its memory.'),
  sysctls: z.record(parameter, z.string()).optional().describe('Parameters of its kernel. It tells one that is wrong.'),
  share: words
    .default([])
    .describe('Folders and files of the host that it reads, as `FOLDER:PATH`. `:copy`: writes stay in its memory.'),
  files: z.record(folder, file).optional().describe('Texts of files by their paths, also with `mode` and `owner`.'),
  memory: size.prefault('512M').describe('RAM: 128M to 3584M, and less for a machine of its own.'),
  disk: z
    .union([diskSize.transform((bytes) => ({ size: bytes, path: DISK_PATH, format: 'ext4' as const })), disk])
    .optional()
    .describe('A disk that outlives crashes and power losses: its size (8M to 64G), or its size and path.'),
  modules: z
    .array(z.string().regex(/^[\w-]+$/, 'expected the name of a module'))
    .default([])
    .describe("Modules of the kernel that are loaded before it starts, such as a file system's."),
  cpus: z.int().min(1).max(8).default(1).describe('The number of processors.'),
})
