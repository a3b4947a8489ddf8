/**
 * The list of instructions in README.md. After a change of the tables:
 * `node --conditions=retrap-source packages/arm-mmio/test/generate-coverage.ts`
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { withCoverage } from './support/coverage.ts'

const file = new URL('../README.md', import.meta.url)
writeFileSync(file, withCoverage(readFileSync(file, 'utf8')))
