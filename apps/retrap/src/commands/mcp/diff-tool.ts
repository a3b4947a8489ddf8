import { printable } from '@retrap/test'
import type { Call } from './call.ts'
import { machineArgument, type ToolParts, text, type Tool, tool } from './tool.ts'
import { ToolError } from './tool-error.ts'
import type { ToolMachine } from './tool-machine.ts'

/** Most bytes of a listing. */
const MOST_BYTES = 16 << 20
/** Most lines of a result of each kind. */
const MOST_LINES = 200

/** Lists processes as proc(5) has them, then files with mode, size and times of change. The agent's own files are left out. */
const LIST = String.raw`echo "self $$"
cat /proc/[0-9]*/stat 2>/dev/null
echo files
find / \( -path /proc -o -path /sys -o -path /dev -o -name 'retrap-agent.*' \) -prune -o \( -type f -o -type l -o -type d \) -exec stat -c '%n %f %s %Y %Z' {} + 2>/dev/null
true`

/** The files and processes of a machine: each name with its state. */
interface Listing {
  readonly files: ReadonlyMap<string, string>
  readonly processes: ReadonlyMap<string, string>
}

/** A tool that compares two machines, such as a machine and its fork. */
export const diffTool = ({ machines, timeout }: ToolParts): Tool =>
  tool(
    'diff',
    'Compares files and processes of two machines, such as a fork with its original, and returns the differences of the second. Files are compared by mode, size and time of change. Both need the agent: see exec.',
    { machine: machineArgument, other: machineArgument, timeoutSeconds: timeout },
    async ({ machine, other }, call) => {
      const before = await list(machines.get(machine), call)
      const after = await list(machines.get(other), call)
      const differences = {
        ...differencesOf('files', before.files, after.files),
        ...differencesOf('processes', before.processes, after.processes),
      }
      const blocks = Object.entries(differences).map(([name, lines]) => `${name}: ${shown(lines)}`)
      return text(blocks.join('\n'), differences)
    },
    { isReadOnly: true },
  )

async function list(machine: ToolMachine, call: Call): Promise<Listing> {
  const { exitCode, stdout, stderr } = await machine.exec(call, LIST, undefined, MOST_BYTES)
  if (exitCode !== 0)
    throw new ToolError('ERR_GUEST', `${machine.facts.name} cannot list its files: ${printable(stderr)}`)
  const [head = '', tail = ''] = stdout.split('\nfiles\n')
  const [self = '', ...stats] = head.split('\n')
  const files = tail.split('\n').map((line) => /^(.*?) (\S+ \S+ \S+ \S+)$/.exec(line))
  const processes = stats.flatMap((line) => {
    const [, pid = '', name = '', parent = '', session = ''] = /^(\d+) (\(.*\)) \S (\d+) \d+ (\d+) /.exec(line) ?? []
    return pid === '' ? [] : [{ pid, name, parent, session }]
  })
  const own = self.replace('self ', '')
  // The agent runs this command in a session, and has a process for it with others that take its output.
  const runner = processes.find(({ pid }) => pid === own)?.parent
  const others = processes.filter(({ pid, parent, session }) => session !== own && pid !== runner && parent !== runner)
  return {
    files: new Map(files.flatMap((found) => (found === null ? [] : [[printable(found[1]!), found[2]!]]))),
    processes: new Map(others.map(({ pid, name }) => [`${pid} ${printable(name)}`, ''])),
  }
}

function differencesOf(
  kind: string,
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): Readonly<Record<string, readonly string[]>> {
  const names = [...after.keys()].sort()
  return {
    [`${kind} added`]: names.filter((name) => !before.has(name)),
    [`${kind} changed`]: names.filter((name) => before.has(name) && before.get(name) !== after.get(name)),
    [`${kind} removed`]: [...before.keys()].filter((name) => !after.has(name)).sort(),
  }
}

const shown = (lines: readonly string[]): string =>
  lines.length === 0
    ? 'none'
    : [...lines.slice(0, MOST_LINES), ...(lines.length > MOST_LINES ? [`${lines.length - MOST_LINES} more`] : [])].join(
        '\n  ',
      )
