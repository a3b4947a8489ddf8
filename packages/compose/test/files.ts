// Compose files as texts, read without a disk.
import { type ComposeProject, type ReadComposeOptions, readCompose } from '../src/index.ts'

/** Reads files of a folder in memory; the first one is the project's, unless paths are given. */
export async function project(
  files: Readonly<Record<string, string>>,
  options: Omit<ReadComposeOptions, 'read'> & { readonly paths?: readonly string[] } = {},
): Promise<ComposeProject> {
  const { paths = [Object.keys(files)[0] as string], ...rest } = options
  return readCompose(paths, { read: async (path) => files[path], name: 'demo', ...rest })
}

/** Reads one file with the service `a`, whose keys are given in YAML. */
export async function service(keys: string, options: Omit<ReadComposeOptions, 'read'> = {}) {
  const lines = keys.split('\n').map((line) => `    ${line}`)
  const file = `services:\n  a:\n    image: i\n${lines.join('\n')}`
  return (await project({ 'compose.yaml': file }, options)).services.get('a')
}

/** The model as plain data without its places and notices; lists whose order means nothing are sorted. */
export const modelOf = ({
  places: _places,
  notices: _notices,
  extensions: _extensions,
  ...model
}: ComposeProject): unknown => sorted(model)

function sorted(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) {
    const items = value.map((one) => sorted(one))
    return ['command', 'entrypoint', 'test'].includes(key) ? items : items.map((one) => JSON.stringify(one)).sort()
  }
  if (typeof value !== 'object' || value === null) return value
  const entries = value instanceof Map ? [...(value as Map<string, unknown>)] : Object.entries(value)
  return Object.fromEntries(
    entries.map(([name, one]) => [name, sorted(one, name)] as const).sort(([a], [b]) => (a < b ? -1 : 1)),
  )
}
