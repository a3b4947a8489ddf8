export { clusterTest } from './cluster-test.ts'
