import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CompilerState, Extractor, ExtractorConfig } from '@microsoft/api-extractor'
import { type Member, root } from '../workspace.ts'

/**
 * Compares the API of each entry point, as its declarations in `dist` have it, with the report in `etc`. The entry points that
 * have the same compiler options share a program: that takes a twentieth of what a program for each does.
 *
 * @returns what differs, and what API Extractor refuses
 */
export function checkApi(selected: readonly Member[]): string[] {
  const configs = selected.flatMap(({ folder }) =>
    globSync('api-extractor*.json', { cwd: folder })
      .sort()
      .map((file) => ExtractorConfig.loadFileAndPrepare(join(folder, file))),
  )
  const problems: string[] = []
  for (const group of Map.groupBy(configs, optionsOf).values()) {
    const [first, ...others] = group as [ExtractorConfig, ...ExtractorConfig[]]
    const compilerState = CompilerState.create(first, {
      additionalEntryPoints: others.map(({ mainEntryPointFilePath }) => mainEntryPointFilePath),
    })
    for (const config of group) problems.push(...compare(config, compilerState))
  }
  return problems
}

/** The compiler options that a package has for itself. */
function optionsOf({ tsconfigFilePath }: ExtractorConfig): string {
  return /"compilerOptions":\s*(\{[^}]*\})/.exec(readFileSync(tsconfigFilePath, 'utf8'))?.[1] ?? ''
}

function compare(config: ExtractorConfig, compilerState: CompilerState): string[] {
  const problems: string[] = []
  const { succeeded } = Extractor.invoke(config, {
    compilerState,
    messageCallback: (message) => {
      message.handled = true
      const { logLevel } = message
      if (logLevel === 'error' || logLevel === 'warning') problems.push(message.formatMessageWithLocation(root))
    },
  })
  return succeeded ? [] : [...problems, `${config.reportFilePath}: see above; api:update of the package writes it`]
}
