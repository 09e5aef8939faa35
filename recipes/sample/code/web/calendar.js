// Days of the year, and back.
const LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function isLeap(year) {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
}

function dayOfYear(year, month, day) {
  const before = LENGTHS.slice(0, month - 1).reduce((sum, n) => sum + n, 0);
  return before + day + (month > 2 && isLeap(year) ? 1 : 0);
}

module.exports = { isLeap, dayOfYear };
